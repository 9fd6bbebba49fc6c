//! All daemons, for targets with the same check for each.

/// Runs a check for each daemon, which is its type parameter.
macro_rules! check_each_daemon {
    ($($check:ident)::+, $bytes:expr) => {
        $($check)::+::<aquatic_http::HttpDaemon>($bytes);
        $($check)::+::<aquatic_udp::UdpDaemon>($bytes);
        $($check)::+::<aquatic_ws::WsDaemon>($bytes);
    };
}
