//! Destination addresses of datagrams, which are the source addresses of their replies.
//!
//! For a socket that is bound to all addresses (`0.0.0.0`, `[::]`), the kernel chooses the
//! source address of a reply: the first address of the outgoing interface. A client that
//! has sent its request to another address drops the reply, as libtorrent and every
//! connected socket do. So these sockets request the destination address of each datagram,
//! and each reply specifies its source address. A socket that is bound to one address does
//! not need this, and has no cost from it.
//!
//! The contract with the kernel:
//!
//! * `IP_PKTINFO` (ip(7)): each datagram has an `in_pktinfo`, whose `ipi_spec_dst` is "the
//!   local address of the packet" and `ipi_addr` "the destination address in the packet
//!   header". They differ if the latter is a broadcast or multicast address, which cannot
//!   be a source address. When sending, "if `ipi_spec_dst` is not zero, then it is used as
//!   the local source address", but if `ipi_ifindex` is not zero, the first address of that
//!   interface is used instead, so the index is 0. Datagrams that were queued before the
//!   option was set have no `ipi_spec_dst`; their `ipi_addr` is right.
//! * `IPV6_RECVPKTINFO` (ipv6(7), RFC 3542, sections 6.1 and 6.2): an `in6_pktinfo` with
//!   the destination address in the header and the interface. When sending, a link-local
//!   address is only valid for its interface, which must be specified; for other addresses,
//!   the routing table determines the interface. A multicast address cannot be a source
//!   address. A socket that also accepts IPv4 (`IPV6_V6ONLY` off) has IPv4-mapped addresses
//!   in the same structure, which the kernel also accepts for sending.
//! * cmsg(3): control messages are iterated with `CMSG_FIRSTHDR` and `CMSG_NXTHDR`, and the
//!   buffer is aligned like `cmsghdr`; `CMSG_DATA` "cannot be assumed to be suitably
//!   aligned", so the data are copied. `msg_controllen` is the size of the buffer before
//!   the call, and the length of the messages after it, so it must be set again each time
//!   (recvmsg(2)).
//! * `MSG_CTRUNC` (recvmsg(2)): a control message did not fit. There is space for this one
//!   and all others that a service manager can enable; if it is lost nevertheless, the
//!   kernel chooses the source address, as without it.
//! * If the machine does not have the source address, or no longer, sending fails with
//!   `EINVAL` or `EADDRNOTAVAIL`, for that reply only.

#![allow(
    clippy::unnecessary_cast,
    reason = "lengths of control messages have 64 bits with glibc, and 32 with musl"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// Length of the buffer for the control messages of a datagram: its addresses, and others
/// that are enabled for an inherited socket.
pub(super) const CONTROL_LENGTH: usize = 192;

/// The shortest control message is only a header, so a buffer has at most this many.
const MAX_MESSAGES: usize = CONTROL_LENGTH / size_of::<libc::cmsghdr>();

/// A buffer for control messages, aligned like their headers.
#[repr(C)]
pub(super) union Control {
    _bytes: [u8; CONTROL_LENGTH],
    first: libc::cmsghdr,
}

/// The destination address of a datagram, in the form that is needed to send from it.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

/// Makes the kernel report the destination address of each datagram, if the socket is bound
/// to all addresses; otherwise disables this, even if the socket unit has enabled it
/// (`PassPacketInfo=`).
///
/// # Errors
///
/// If the socket has no address, or the kernel does not support the option.
pub fn tell_local_address(socket: &UdpSocket) -> io::Result<()> {
    let address = socket.local_addr()?;
    let (level, option) = if address.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    };
    let is_on = libc::c_int::from(address.ip().is_unspecified());
    // SAFETY: both options read one `c_int`, which outlives the call, and the
    // descriptor is borrowed for as long.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const is_on).cast(),
            size_of_val(&is_on) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

impl Control {
    /// Makes this the control buffer of a header for receiving.
    pub(super) fn prepare(&mut self, header: &mut libc::msghdr) {
        header.msg_control = (&raw mut *self).cast();
        Self::reset(header);
    }

    /// Resets the control length of a header, to receive again.
    #[inline]
    pub(super) fn reset(header: &mut libc::msghdr) {
        header.msg_controllen = CONTROL_LENGTH as _;
    }

    /// The destination address, from a header that was received with this buffer.
    #[inline]
    pub(super) fn asked(&self, header: &libc::msghdr) -> Option<Asked> {
        let length = (header.msg_controllen as usize).min(CONTROL_LENGTH);
        if length < size_of::<libc::cmsghdr>() {
            return None;
        }
        // SAFETY: any bytes make a cmsghdr, and the buffer is as long as several.
        let first = unsafe { &self.first };
        if first.cmsg_len as usize > length {
            return None;
        }
        // Usually this is the only message, unless others were enabled.
        // SAFETY: the message lies within the buffer, as was seen.
        unsafe { Asked::read(first, &raw const *self) }.unwrap_or_else(|| self.search(header))
    }

    /// Searches the message among others.
    #[cold]
    fn search(&self, header: &libc::msghdr) -> Option<Asked> {
        // The same header, with a pointer that may read this whole buffer.
        let header = libc::msghdr {
            msg_control: (&raw const *self).cast_mut().cast(),
            msg_controllen: (header.msg_controllen as usize).min(CONTROL_LENGTH) as _,
            ..*header
        };
        // SAFETY: the header says how many bytes of this buffer, which is aligned
        // as a cmsghdr, hold control messages; the kernel wrote them.
        let mut message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        for _ in 0..MAX_MESSAGES {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a header that
            // lies within the buffer.
            let found = unsafe { message.as_ref() }?;
            // SAFETY: so does what follows it, by its own length.
            if let Some(asked) = unsafe { Asked::read(found, message.cast_const().cast()) } {
                return asked;
            }
            // SAFETY: `message` came from these macros and this header.
            message = unsafe { libc::CMSG_NXTHDR(&raw const header, message) };
        }
        None
    }

    /// Writes the source address of a reply, and makes this the control buffer of its
    /// header. The received content is overwritten.
    #[inline]
    pub(super) fn send_from(&mut self, asked: Option<Asked>, header: &mut libc::msghdr) {
        let length = match asked {
            None => 0,
            Some(Asked::V4(info)) => self.write(libc::IPPROTO_IP, libc::IP_PKTINFO, info),
            Some(Asked::V6(info)) => self.write(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info),
        };
        header.msg_control = (&raw mut *self).cast();
        header.msg_controllen = length as _;
    }

    /// Writes a control message; returns its length without the padding after it, which the
    /// last message may omit (RFC 3542, section 20.2). With padding, an IPv6 address would
    /// be too long for the buffer in which the kernel keeps short control messages without
    /// allocating.
    #[inline]
    fn write<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
        const {
            assert!(size_of::<libc::cmsghdr>() + 8 + size_of::<T>() <= CONTROL_LENGTH);
        }
        let length = message_length::<T>();
        let message: *mut libc::cmsghdr = (&raw mut *self).cast();
        // SAFETY: the buffer is aligned as a cmsghdr and is longer than one with
        // its data, as asserted; CMSG_DATA points behind the header, and the data
        // is written without an alignment.
        unsafe {
            message.write(libc::cmsghdr {
                cmsg_len: length as _,
                cmsg_level: level,
                cmsg_type: kind,
            });
            libc::CMSG_DATA(message).cast::<T>().write_unaligned(data);
        }
        length
    }
}

/// The length of a control message with data of type `T`.
const fn message_length<T>() -> usize {
    // SAFETY: this only computes.
    unsafe { libc::CMSG_LEN(size_of::<T>() as u32) as usize }
}

impl Asked {
    /// Reads a control message at `at`; `None` if it is of another type, and `Some(None)`
    /// if its address cannot be a source address.
    ///
    /// # Safety
    ///
    /// As many bytes as the header says can be read from `at` on.
    #[inline]
    unsafe fn read(header: &libc::cmsghdr, at: *const Control) -> Option<Option<Self>> {
        let at: *const libc::cmsghdr = at.cast();
        let length = header.cmsg_len as usize;
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO)
                if length >= message_length::<libc::in_pktinfo>() =>
            {
                // SAFETY: the message has as many bytes of data, which CMSG_DATA
                // points to; any bytes make this structure of integers.
                let data = unsafe { libc::CMSG_DATA(at) }.cast::<libc::in_pktinfo>();
                // SAFETY: as above.
                Some(Self::v4(unsafe { data.read_unaligned() }))
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                if length >= message_length::<libc::in6_pktinfo>() =>
            {
                // SAFETY: as above.
                let data = unsafe { libc::CMSG_DATA(at) }.cast::<libc::in6_pktinfo>();
                // SAFETY: as above.
                Some(Self::v6(unsafe { data.read_unaligned() }))
            }
            _ => None,
        }
    }

    /// The address.
    #[inline]
    pub(super) fn address(self) -> IpAddr {
        match self {
            Self::V4(info) => Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into(),
            Self::V6(info) => Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical(),
        }
    }

    #[inline]
    fn v4(mut info: libc::in_pktinfo) -> Option<Self> {
        if info.ipi_spec_dst.s_addr == libc::INADDR_ANY {
            info.ipi_spec_dst = info.ipi_addr;
        }
        info.ipi_ifindex = 0;
        can_be_source(info.ipi_spec_dst.s_addr.to_ne_bytes()).then_some(Self::V4(info))
    }

    #[inline]
    fn v6(mut info: libc::in6_pktinfo) -> Option<Self> {
        let is_usable = match info.ipi6_addr.s6_addr {
            [0xff, ..] => false,
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => can_be_source([a, b, c, d]),
            _ => true,
        };
        let is_link_local = matches!(info.ipi6_addr.s6_addr, [0xfe, 0x80..=0xbf, ..]);
        if !is_link_local {
            info.ipi6_ifindex = 0;
        }
        is_usable.then_some(Self::V6(info))
    }
}

/// Whether this IPv4 address can be a source address: not multicast, reserved or broadcast
/// (224.0.0.0 and above), and not of "this network" (0.0.0.0/8).
fn can_be_source([first, ..]: [u8; 4]) -> bool {
    first != 0 && first < 224
}
