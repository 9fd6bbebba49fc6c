//! What has to be known of a network interface: its number, MAC address, MTU and queues.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};

use crate::system;

/// The command of `SIOCETHTOOL` that reads the numbers of queues.
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// An interface, as it was when it was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// The longest IP packet that it sends.
    pub mtu: u32,
    /// How many queues it has for what it receives.
    pub queues: u32,
}

/// `struct ethtool_channels`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max_receive: u32,
    max_transmit: u32,
    max_other: u32,
    max_combined: u32,
    receive: u32,
    transmit: u32,
    other: u32,
    combined: u32,
}

impl Interface {
    /// Looks up an interface in the network namespace of this thread.
    ///
    /// # Errors
    ///
    /// If there is none with that name, or it has no MAC address, as a tunnel.
    pub fn find(name: &str) -> io::Result<Self> {
        let socket = system::any_socket()?;
        let text = CString::new(name)?;
        // SAFETY: the name ends with a zero.
        let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let mut request = named(&text)?;
        ask(&socket, libc::SIOCGIFHWADDR, &mut request)?;
        // SAFETY: this command writes an address, all of whose bytes may have any value.
        let address = unsafe { request.ifr_ifru.ifru_hwaddr };
        if address.sa_family != libc::ARPHRD_ETHER {
            return Err(io::Error::other("it is not an Ethernet interface"));
        }
        let mac = std::array::from_fn(|place| address.sa_data[place] as u8);
        ask(&socket, libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: this command writes one number.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        Ok(Self {
            name: name.to_owned(),
            index,
            mac,
            mtu: u32::try_from(mtu).unwrap_or(0),
            queues: queues(&socket, &mut request),
        })
    }
}

/// How many queues a device has for what it receives; one, if it does not say.
fn queues(socket: &OwnedFd, request: &mut libc::ifreq) -> u32 {
    let mut channels = Channels {
        command: ETHTOOL_GCHANNELS,
        ..Channels::default()
    };
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    match ask(socket, libc::SIOCETHTOOL, request) {
        Ok(()) => channels.receive.saturating_add(channels.combined).max(1),
        Err(_) => 1,
    }
}

/// A request about the interface of this name.
fn named(name: &CString) -> io::Result<libc::ifreq> {
    // SAFETY: integers, and a union of integers and a pointer, which may be null.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let bytes = name.as_bytes();
    if bytes.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(request)
}

/// Asks the kernel about an interface. netdevice(7): "each ioctl takes a pointer to a `struct
/// ifreq`"; `SIOCETHTOOL` reads and writes what its `ifr_data` points to as well.
fn ask(socket: &OwnedFd, command: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: a pointer to the structure; where it has a pointer, that is valid (`queues`).
    let result = unsafe {
        libc::ioctl(
            socket.as_fd().as_raw_fd(),
            command as libc::Ioctl,
            std::ptr::from_mut(request),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_looked_up() {
        // Names have at most 15 bytes.
        for name in ["no-such-eth0", "", "a-name-that-is-too-long", "nul\0"] {
            assert!(Interface::find(name).is_err(), "{name}");
        }
        let loopback = Interface::find("lo").unwrap_err();
        assert!(loopback.to_string().contains("Ethernet"), "{loopback}");
    }
}
