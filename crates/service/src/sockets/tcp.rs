//! Listening TCP sockets.

use super::*;

/// A request for TCP sockets.
#[derive(Debug, Clone, Copy)]
pub struct TcpRequest<'a> {
    /// Addresses to listen on; sockets of IPv6 addresses do not accept IPv4.
    pub addresses: &'a [SocketAddr],
    /// Sockets per address, one per worker. `None` for the number of CPU cores, or of
    /// sockets inherited from the service manager.
    pub workers: Option<NonZeroUsize>,
    /// Maximum number of connections that wait to be accepted, per socket; the kernel
    /// limits it to `net.core.somaxconn`.
    pub backlog: NonZeroUsize,
}

/// A listening, non-blocking TCP socket.
pub type BoundTcp = Bound<TcpListener>;

/// Takes the listening TCP sockets inherited from the service manager, except the one for
/// metrics, or binds new ones.
///
/// Like [`udp`], it returns one list per worker, none of them empty. Connections of these
/// sockets send without delay (TCP_NODELAY).
///
/// # Errors
///
/// If an address cannot be bound; the message contains the address and the likely remedy.
pub fn tcp(
    request: TcpRequest<'_>,
    inherited: &mut Inherited,
) -> anyhow::Result<Vec<Vec<BoundTcp>>> {
    let adopted = inherited.take_all_tcp()?;
    let backlog = i32::try_from(request.backlog.get()).unwrap_or(i32::MAX);
    if adopted.is_empty() {
        may_bind()?;
        return bind_each(
            request.addresses,
            worker_count(request.workers)?,
            "TCP",
            |address, is_first| bind_tcp(address, is_first, backlog),
        );
    }
    for one in &adopted {
        // For a socket that already listens, this only changes the backlog from that of the
        // socket unit to the configured one.
        let socket = SockRef::from(&one.socket);
        socket
            .set_tcp_nodelay(true)
            .and_then(|()| socket.listen(backlog))
            .with_context(|| format!("inherited socket {}", one.address))?;
    }
    share_out(request.addresses, request.workers, "ListenStream=", adopted)
}

fn bind_tcp(address: SocketAddr, is_first: bool, backlog: i32) -> io::Result<TcpListener> {
    let socket = new_socket(address, Type::STREAM)?;
    // Connections of the previous process may still be in TIME_WAIT. If another process
    // listens on the address, binding still fails.
    socket.set_reuse_address(true)?;
    // Accepted connections inherit this option.
    socket.set_tcp_nodelay(true)?;
    bind_shared(&socket, address, is_first)?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    fn request(address: &SocketAddr, workers: usize) -> TcpRequest<'_> {
        TcpRequest {
            addresses: std::slice::from_ref(address),
            workers: NonZeroUsize::new(workers),
            backlog: NonZeroUsize::new(1024).unwrap(),
        }
    }

    fn loopback() -> [SocketAddr; 2] {
        ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]
    }

    fn accepted(listener: &TcpListener) -> Vec<TcpStream> {
        let mut streams = Vec::new();
        loop {
            match listener.accept() {
                Ok((stream, _)) => streams.push(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return streams,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn connections_spread_over_the_sockets_of_an_address() {
        for address in loopback() {
            let workers = tcp(request(&address, 3), &mut Inherited::default()).unwrap();
            let address = workers[0][0].address;
            assert_ne!(address.port(), 0);
            let clients: Vec<_> = (0..150)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            let mut total = 0;
            for worker in &workers {
                assert_eq!(worker[0].address, address);
                let streams = accepted(&worker[0].socket);
                // 50 are expected; fewer than 10 have a probability of 10^-13.
                assert!(streams.len() >= 10, "{} connections", streams.len());
                assert!(streams.iter().all(|stream| stream.nodelay().unwrap()));
                total += streams.len();
            }
            assert_eq!(total, clients.len());
        }
    }

    #[test]
    fn a_second_daemon_is_refused_and_a_next_one_is_not() {
        for address in loopback() {
            let first = tcp(request(&address, 2), &mut Inherited::default()).unwrap();
            let taken = first[0][0].address;
            let error = tcp(request(&taken, 2), &mut Inherited::default()).unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains("another program uses this address"), "{text}");

            // The connection, which the server closes first, stays in TIME_WAIT.
            let client = TcpStream::connect(taken).unwrap();
            for worker in &first {
                drop(accepted(&worker[0].socket));
            }
            drop(first);
            drop(client);
            tcp(request(&taken, 2), &mut Inherited::default()).unwrap();
        }
    }

    #[test]
    fn inherited_sockets_are_taken_but_for_the_one_of_the_metrics() {
        let [address, _] = loopback();
        let [one, two, metrics] =
            [(); 3].map(|()| Socket::from(bind_tcp(address, true, 16).unwrap()));
        let mut inherited = Inherited::from_sockets(vec![
            ("http.socket", one),
            (METRICS_NAME, metrics),
            ("other.socket", two),
        ]);
        assert!(
            super::super::metrics(None, &mut inherited)
                .unwrap()
                .is_some()
        );
        let workers = tcp(request(&address, 3), &mut inherited).unwrap();
        assert_eq!(workers.len(), 2);
        inherited.finish().unwrap();
    }
}
