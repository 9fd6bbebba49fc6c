//! Which of the machine's addresses a datagram was sent to, so that its reply
//! comes from there.
//!
//! A socket that is bound to every address (`0.0.0.0`, `[::]`) lets the kernel
//! choose where a reply comes from: the first address of the interface by which
//! it leaves. A client that asked another one drops it, as libtorrent and every
//! connected socket do. So such sockets are told to say, with each datagram, where
//! it arrived, and each reply says where it comes from. A socket that is bound to
//! one address needs none of this, and pays nothing for it.
//!
//! What the kernel promises, and what is owed to it:
//!
//! * `IP_PKTINFO` (ip(7)): with each datagram comes an `in_pktinfo`, whose
//!   `ipi_spec_dst` is "the local address of the packet" and `ipi_addr` "the
//!   destination address in the packet header". They differ when the latter is
//!   a broadcast or multicast address, from which nothing can be sent. In what is
//!   sent, "if `ipi_spec_dst` is not zero, then it is used as the local source
//!   address", but when `ipi_ifindex` is not zero, the first address of that
//!   interface takes its place: so the index is 0. What waited in a socket before
//!   the option was set has no `ipi_spec_dst`; its `ipi_addr` is right.
//! * `IPV6_RECVPKTINFO` (ipv6(7), RFC 3542, sections 6.1 and 6.2): an
//!   `in6_pktinfo` with the destination address in the header and the interface.
//!   In what is sent, a link-local address means something on that interface only,
//!   which has to be named; any other goes out where the routing table says. A
//!   multicast address cannot be sent from. A socket that serves IPv4 as well
//!   (`IPV6_V6ONLY` off) gets mapped IPv4 addresses in the same structure, and the
//!   kernel takes them back as well.
//! * cmsg(3): control messages are walked with `CMSG_FIRSTHDR` and
//!   `CMSG_NXTHDR`, whose buffer is aligned as `cmsghdr`; `CMSG_DATA` "cannot be
//!   assumed to be suitably aligned", so what is there is copied. `msg_controllen`
//!   is the room on the way in, and the length of what came on the way out, so it
//!   is to be set again each time (recvmsg(2)).
//! * `MSG_CTRUNC` (recvmsg(2)): there was no room for some control message. There
//!   is room for this one beside all that a service manager switches on; should
//!   it be lost nevertheless, the kernel chooses the address, as without it.
//! * A source address that the machine has not, or no longer, is `EINVAL` or
//!   `EADDRNOTAVAIL` of the send, and so a matter of that reply alone.

#![allow(
    clippy::unnecessary_cast,
    reason = "lengths of control messages have 64 bits with glibc, and 32 with musl"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// Bytes for the control messages of a datagram: its addresses, and whatever
/// else is switched on in a socket that was inherited.
pub(super) const CONTROL_LENGTH: usize = 192;

/// The shortest control message is a header, so there are no more in a buffer.
const MAX_MESSAGES: usize = CONTROL_LENGTH / size_of::<libc::cmsghdr>();

/// A buffer for control messages, aligned as their headers.
#[repr(C)]
pub(super) union Control {
    _bytes: [u8; CONTROL_LENGTH],
    first: libc::cmsghdr,
}

/// The address that a datagram was sent to, as what is to be sent from it wants
/// to have it.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

/// Has the kernel say with each datagram which address it was sent to, if the
/// socket is bound to all of them; otherwise not, whatever the one who made the
/// socket has asked for (`PassPacketInfo=` in a socket unit).
///
/// # Errors
///
/// When the socket has no address, or the kernel knows no such option.
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
    /// Makes this the buffer of a header that is to be received.
    pub(super) fn prepare(&mut self, header: &mut libc::msghdr) {
        header.msg_control = (&raw mut *self).cast();
        Self::reset(header);
    }

    /// Makes the same buffer ready for the next time.
    #[inline]
    pub(super) fn reset(header: &mut libc::msghdr) {
        header.msg_controllen = CONTROL_LENGTH as _;
    }

    /// What is here, of a header that was received with this as its buffer.
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
        // There is nothing else, unless somebody has switched it on.
        // SAFETY: the message lies within the buffer, as was seen.
        unsafe { Asked::read(first, &raw const *self) }.unwrap_or_else(|| self.search(header))
    }

    /// Looks for the message among others.
    #[cold]
    fn search(&self, header: &libc::msghdr) -> Option<Asked> {
        // The same header, with a pointer that may read all of this buffer.
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

    /// Writes from where to send, and makes this the buffer of the header of a
    /// reply. What was received here is gone then.
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

    /// Writes one control message; returns its length without padding behind it,
    /// as a message that is the last may go without (RFC 3542, section 20.2). With
    /// it, an IPv6 address would no longer fit where the kernel keeps short
    /// control messages without allocating.
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

/// The length of a control message with these data.
const fn message_length<T>() -> usize {
    // SAFETY: this only computes.
    unsafe { libc::CMSG_LEN(size_of::<T>() as u32) as usize }
}

impl Asked {
    /// Reads a control message, with `at` pointing to its header; none if it is of
    /// another kind, and none within if nothing can be sent from that address.
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

/// Whether datagrams may come from this IPv4 address: neither multicast, reserved
/// or broadcast (224.0.0.0 and above) nor of "this network" (0.0.0.0/8).
fn can_be_source([first, ..]: [u8; 4]) -> bool {
    first != 0 && first < 224
}
