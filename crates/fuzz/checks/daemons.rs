//! All daemons, for targets whose check is the same for each.

/// Does a check for each daemon, which is the parameter of its type.
macro_rules! check_each_daemon {
    ($($check:ident)::+, $bytes:expr) => {
        $($check)::+::<aquatic_http::HttpDaemon>($bytes);
        $($check)::+::<aquatic_udp::UdpDaemon>($bytes);
        $($check)::+::<aquatic_ws::WsDaemon>($bytes);
    };
}
