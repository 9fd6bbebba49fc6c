//! Confines this process as a hardened unit of systemd does: a user without
//! privileges, and the end of the process for system calls that such a service
//! has no need of (`SystemCallFilter=~@privileged @resources`).

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

/// System calls that end the process.
const FORBIDDEN: [c_long; 12] = [
    libc::SYS_bpf,
    libc::SYS_capset,
    libc::SYS_chroot,
    libc::SYS_fchown,
    libc::SYS_sched_setaffinity,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setpriority,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setrlimit,
    libc::SYS_setuid,
];

/// To be called by root, before anything else.
pub(crate) fn confine() {
    let nobody = 65534;
    let (user, group) = (Uid::from_raw(nobody), Gid::from_raw(nobody));
    setgroups(&[]).expect("root may leave groups");
    setresgid(group, group, group).expect("root may change the group");
    setresuid(user, user, user).expect("root may change the user");
    nix::sys::prctl::set_no_new_privs().expect("everybody may");
    install(&filter());
}

fn filter() -> Vec<libc::sock_filter> {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    // The number of the system call is the first word that a filter sees.
    let mut filter = vec![statement(BPF_LD | BPF_W | BPF_ABS, 0)];
    for number in FORBIDDEN {
        filter.push(libc::sock_filter {
            jf: 1,
            ..statement(BPF_JMP | BPF_JEQ | BPF_K, number as u32)
        });
        filter.push(statement(BPF_RET | BPF_K, libc::SECCOMP_RET_KILL_PROCESS));
    }
    filter.push(statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW));
    filter
}

/// Makes the kernel refuse IPv6 sockets, like a kernel without IPv6.
pub(crate) fn forbid_ipv6() {
    /// The offset at which a filter sees the first argument of the system call.
    const FIRST_ARGUMENT: u32 = 16;

    nix::sys::prctl::set_no_new_privs().expect("everybody may");
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32;
    install(&[
        step(BPF_LD | BPF_W | BPF_ABS, 0, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, 3, libc::SYS_socket as u32),
        step(BPF_LD | BPF_W | BPF_ABS, 0, FIRST_ARGUMENT),
        step(BPF_JMP | BPF_JEQ | BPF_K, 1, libc::AF_INET6 as u32),
        step(BPF_RET | BPF_K, 0, refuse),
        step(BPF_RET | BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ]);
}

fn install(filter: &[libc::sock_filter]) {
    let program = libc::sock_fprog {
        len: filter.len().try_into().expect("a short filter"),
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, whose length is right, and does
    // not write to it.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
