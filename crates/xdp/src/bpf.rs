//! The system call `bpf(2)`: maps of sockets, programs and links.
//!
//! "The *attr* argument is a pointer to a union of type `bpf_attr` [...]; the size argument is
//! the size of the union pointed to by *attr*". Each command reads a structure of its own
//! from the start of the union. The kernel takes fields that it knows and that were not given
//! as zero, so a structure may end after the last field that matters.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

// Commands.
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const MAP_DELETE: libc::c_int = 3;
const PROGRAM_LOAD: libc::c_int = 5;
#[cfg(test)]
const PROGRAM_TEST_RUN: libc::c_int = 10;
const LINK_CREATE: libc::c_int = 28;

/// The type of maps from queues to sockets, `BPF_MAP_TYPE_XSKMAP`.
const SOCKET_MAP: u32 = 17;

/// The type of programs, `BPF_PROG_TYPE_XDP`.
const XDP_PROGRAM: u32 = 6;

/// Where a program is attached, `BPF_XDP`.
const XDP_ATTACHMENT: u32 = 37;

/// Ask for the driver to run the program, or the network stack.
pub(crate) const NATIVE: u32 = 1 << 2;
pub(crate) const GENERIC: u32 = 1 << 1;

/// The name that `bpftool` shows.
const NAME: [u8; 16] = *b"aquatic_xdp\0\0\0\0\0";

/// Space for what the verifier says when it rejects a program.
const LOG_LENGTH: usize = 1 << 16;

/// Maximum length of the part of it that is kept, which is its end.
const MAX_SAID: usize = 500;

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct MapElement {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attachment: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attachment: u32,
    flags: u32,
}

#[cfg(test)]
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    result: u32,
    input_size: u32,
    output_size: u32,
    input: u64,
    output: u64,
    repeat: u32,
    duration: u32,
}

/// Creates a map from the numbers of queues to sockets.
pub(crate) fn create_socket_map(queues: u32) -> io::Result<OwnedFd> {
    let mut attributes = MapCreate {
        kind: SOCKET_MAP,
        key_size: 4,
        value_size: 4,
        max_entries: queues,
        name: NAME,
        ..MapCreate::default()
    };
    // SAFETY: MAP_CREATE reads this structure, which contains no pointers.
    unsafe { descriptor(MAP_CREATE, &mut attributes) }
}

/// Puts a socket into a map.
pub(crate) fn set(map: &impl AsFd, queue: u32, socket: &impl AsFd) -> io::Result<()> {
    let value = socket.as_fd().as_raw_fd() as u32;
    let mut attributes = MapElement {
        map: map.as_fd().as_raw_fd() as u32,
        key: address(&queue),
        value: address(&value),
        ..MapElement::default()
    };
    // SAFETY: MAP_UPDATE_ELEM reads this structure, and a key and a value of the map's
    // sizes, which are four bytes, until it returns.
    unsafe { call(MAP_UPDATE, &mut attributes) }.map(drop)
}

/// Removes the socket of a queue from a map.
pub(crate) fn clear(map: &impl AsFd, queue: u32) -> io::Result<()> {
    let mut attributes = MapElement {
        map: map.as_fd().as_raw_fd() as u32,
        key: address(&queue),
        ..MapElement::default()
    };
    // SAFETY: MAP_DELETE_ELEM reads this structure, and a key of four bytes.
    unsafe { call(MAP_DELETE, &mut attributes) }.map(drop)
}

/// Why a program was not loaded.
#[derive(Debug)]
pub struct Rejection {
    /// The error of the system call.
    pub error: io::Error,
    /// The end of what the verifier said, if it was asked.
    pub said: String,
}

/// Loads a program.
pub(crate) fn load(instructions: &[u64]) -> Result<OwnedFd, Rejection> {
    let mut log = vec![0; LOG_LENGTH];
    let error = match load_with(instructions, &mut []) {
        Ok(program) => return Ok(program),
        Err(error) => error,
    };
    // Only a program that was rejected is worth a log. It is rejected again.
    if let Ok(program) = load_with(instructions, &mut log) {
        return Ok(program);
    }
    let length = log.iter().position(|byte| *byte == 0).unwrap_or(0);
    let said = &log[length.saturating_sub(MAX_SAID)..length];
    let said = String::from_utf8_lossy(said).trim().to_owned();
    Err(Rejection { error, said })
}

fn load_with(instructions: &[u64], log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attributes = ProgramLoad {
        kind: XDP_PROGRAM,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        name: NAME,
        attachment: XDP_ATTACHMENT,
        ..ProgramLoad::default()
    };
    if !log.is_empty() {
        attributes.log_level = 1;
        attributes.log_size = log.len() as u32;
        attributes.log = log.as_mut_ptr() as u64;
    }
    // SAFETY: PROG_LOAD reads this structure, that many instructions of eight bytes and a
    // license that ends with a zero, and writes up to `log_size` bytes of log, until it
    // returns.
    unsafe { descriptor(PROGRAM_LOAD, &mut attributes) }
}

/// Attaches a program to an interface, as long as the link is open.
pub(crate) fn link(program: &impl AsFd, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreate {
        program: program.as_fd().as_raw_fd() as u32,
        interface,
        attachment: XDP_ATTACHMENT,
        flags,
    };
    // SAFETY: LINK_CREATE reads this structure, which contains no pointers.
    unsafe { descriptor(LINK_CREATE, &mut attributes) }
}

/// Runs a program on a frame that arrived on queue 0; returns its return code.
#[cfg(test)]
pub(crate) fn test_run(program: &impl AsFd, frame: &[u8]) -> io::Result<u32> {
    let mut attributes = TestRun {
        program: program.as_fd().as_raw_fd() as u32,
        input_size: frame.len() as u32,
        input: frame.as_ptr() as u64,
        repeat: 1,
        ..TestRun::default()
    };
    // SAFETY: PROG_TEST_RUN reads this structure and the input, and writes its results
    // into the structure.
    unsafe { call(PROGRAM_TEST_RUN, &mut attributes) }?;
    Ok(attributes.result)
}

fn address<T>(value: &T) -> u64 {
    std::ptr::from_ref(value) as u64
}

/// Makes a command that returns a new descriptor, which is closed on `execve(2)`.
///
/// # Safety
///
/// See [`call`].
unsafe fn descriptor<T>(command: libc::c_int, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: by the caller's promise.
    let descriptor = unsafe { call(command, attributes) }?;
    // SAFETY: it is new, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// # Safety
///
/// `attributes` are those of the command, whose pointers are valid for what it does.
unsafe fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: a pointer to as many bytes as is said; the rest by the caller's promise.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    libc::c_int::try_from(result)
        .ok()
        .filter(|result| *result >= 0)
        .ok_or_else(io::Error::last_os_error)
}
