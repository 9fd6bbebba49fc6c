//! The kernel's tables of sockets: `/proc/net/udp` and others (proc_net(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aquatic_service::sockets::Transport;

/// The state of a TCP socket that listens, and of a UDP socket that is not connected.
const TCP_LISTEN: u8 = 0x0a;
const UDP_UNCONNECTED: u8 = 0x07;

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) address: SocketAddr,
    pub(crate) inode: u64,
    /// Datagrams that the kernel has dropped; 0 for TCP.
    pub(crate) drops: u64,
}

impl Entry {
    /// Whether it receives what is sent to an address.
    pub(crate) fn serves(&self, address: SocketAddr) -> bool {
        self.address.port() == address.port()
            && self.address.is_ipv4() == address.is_ipv4()
            && (self.address.ip() == address.ip() || self.address.ip().is_unspecified())
    }
}

/// All sockets of a transport that listen, in the network namespace of this process; `None`
/// if the tables cannot be read.
pub(crate) fn listening(transport: Transport) -> Option<Vec<Entry>> {
    let (name, state) = match transport {
        Transport::Udp { .. } => ("udp", UDP_UNCONNECTED),
        Transport::Tcp { .. } => ("tcp", TCP_LISTEN),
    };
    let ipv4 = fs::read_to_string(format!("/proc/net/{name}")).ok()?;
    // Absent in kernels without IPv6.
    let ipv6 = fs::read_to_string(format!("/proc/net/{name}6")).unwrap_or_default();
    Some(parse(&ipv4, state).chain(parse(&ipv6, state)).collect())
}

/// The sockets in this state.
fn parse(text: &str, state: u8) -> impl Iterator<Item = Entry> {
    text.lines().skip(1).filter_map(move |line| {
        let words: Vec<_> = line.split_whitespace().collect();
        if u8::from_str_radix(words.get(3)?, 16) != Ok(state) {
            return None;
        }
        Some(Entry {
            address: address(words.get(1)?)?,
            inode: words.get(9)?.parse().ok()?,
            drops: words
                .get(12)
                .and_then(|word| word.parse().ok())
                .unwrap_or(0),
        })
    })
}

/// An address and port in hexadecimal. The kernel prints each 32 bits of the address, which
/// are in network byte order, as a number of the machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = address.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *chunk = word(index)?;
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const UDP: Transport = Transport::Udp {
        receive_buffer_bytes: None,
    };

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_are_parsed() {
        let udp = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  123: 0100007F:0BB8 00000000:0000 07 00000000:00000000 00:00000000 00000000   107        0 51234 2 0000000000000000 17
  124: 0100007F:0BB9 0100007F:0035 01 00000000:00000000 00:00000000 00000000   107        0 51235 2 0000000000000000 0
";
        let expected = Entry {
            address: "127.0.0.1:3000".parse().unwrap(),
            inode: 51234,
            drops: 17,
        };
        assert_eq!(parse(udp, UDP_UNCONNECTED).collect::<Vec<_>>(), [expected]);
        let tcp6 = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: B80D0120000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0000000000000000 100 0 0 10 0
";
        let expected = Entry {
            address: "[2001:db8::1]:3000".parse().unwrap(),
            inode: 7,
            drops: 10,
        };
        let found: Vec<_> = parse(tcp6, TCP_LISTEN).collect();
        assert_eq!(found[0].address, expected.address);
        assert_eq!(found[0].inode, expected.inode);
        for damaged in ["", "x\n1: 2", "x\n 1: 0100007F 0 07 0 0 0 0 0 1"] {
            assert_eq!(parse(damaged, UDP_UNCONNECTED).count(), 0);
        }
    }

    #[test]
    fn own_sockets_are_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let all = listening(UDP).unwrap();
        assert!(all.iter().any(|entry| entry.serves(address)));
        let other = SocketAddr::new([127, 0, 0, 9].into(), address.port());
        assert!(
            !all.iter()
                .any(|entry| entry.address == address && entry.serves(other))
        );
    }
}
