//! The filter of system calls that everything in a machine runs under: what reaches for
//! the kernel itself, or for more than a build needs, is refused.
//!
//! What is refused follows the list of calls that Docker's default profile withholds from
//! a container without added capabilities, so that what runs there runs here: programs
//! have met those answers before. `clone3` hides its flags behind a pointer, and programs
//! fall back to `clone` on "not implemented". `ptrace` stays, as with Docker on kernels
//! of 4.8 and later: debuggers and leak checkers trace their own children, and the first
//! process of a machine, which has more capabilities than they, is out of its reach.
//!
//! One linear list of jumps, because a filter's price is its length: the kernel runs it
//! for every call number when it is installed (66 µs for this one; what the crate
//! `seccompiler` makes of the same list has five times the instructions and takes
//! 200 µs), and not at all later for calls that it lets through whatever their arguments.

use std::io;

use libc::{c_long, sock_filter, sock_fprog};

/// Flag of `clone` and `unshare` for a new user namespace, in which a program would have
/// all capabilities, and with them all of the kernel's code behind those.
const NEW_USER: u32 = libc::CLONE_NEWUSER as u32;

/// `open_tree_attr`, since kernel 6.15; the number is the same everywhere.
const OPEN_TREE_ATTR: c_long = 467;

/// Calls that answer "not permitted".
const REFUSED: &[c_long] = &[
    // Mounts.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Files by number, past every folder that hides them.
    libc::SYS_open_by_handle_at,
    // Other namespaces.
    libc::SYS_setns,
    // Keys are not in a namespace.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Code for the kernel, and another kernel.
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    // What attacks on the kernel are made of, and builds are not.
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // The machine's clock, accounts and ports.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// The same calls for programs of 32 bits (`arch/x86/entry/syscalls/syscall_32.tbl`),
/// those that the newer numbers do not share.
#[cfg(target_arch = "x86_64")]
const REFUSED_32: &[u32] = &[
    21, 22, 25, 51, 52, 79, 87, 88, 101, 103, 110, 111, 115, 124, 128, 129, 131, 217, 264, 283,
    286, 287, 288, 336, 342, 343, 346, 350, 357, 374, 404, 405, 425, 426, 427, 428, 429, 430, 431,
    432, 433, 442, 443, 467,
];
#[cfg(target_arch = "x86_64")]
const CLONE_32: u32 = 120;
#[cfg(target_arch = "x86_64")]
const UNSHARE_32: u32 = 310;

/// `AUDIT_ARCH_*` of `linux/audit.h`: machine number, 64 bits, little-endian.
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 62 | 0x8000_0000 | 0x4000_0000;
#[cfg(target_arch = "x86_64")]
const NATIVE_32: u32 = 3 | 0x4000_0000;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 183 | 0x8000_0000 | 0x4000_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The lower half of the first argument, on little-endian machines.
const FIRST_ARGUMENT: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IS_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const HAS_BITS: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// A filter that is ready to be installed.
pub(super) struct Filter(Vec<sock_filter>);

impl Filter {
    /// Compiles the filter for this processor.
    pub(super) fn compile() -> Self {
        let mut program = vec![step(LOAD, ARCHITECTURE, 0, 0)];
        let native: Vec<u32> = REFUSED.iter().map(|number| *number as u32).collect();
        let mut sections = vec![section(
            &native,
            [libc::SYS_clone as u32, libc::SYS_unshare as u32],
        )];
        let mut architectures = vec![NATIVE];
        #[cfg(target_arch = "x86_64")]
        {
            sections.push(section(REFUSED_32, [CLONE_32, UNSHARE_32]));
            architectures.push(NATIVE_32);
        }
        for (architecture, section) in architectures.into_iter().zip(sections) {
            program.push(step(IS_EQUAL, architecture, 0, section.len()));
            program.extend(section);
        }
        // Another processor's calls: there is no such program here.
        program.push(step(ANSWER, libc::SECCOMP_RET_KILL_PROCESS, 0, 0));
        Self(program)
    }

    /// Holds this process, and all that it starts, to the filter from now on. New
    /// privileges must have been given up.
    pub(super) fn install(&self) -> io::Result<()> {
        let program = sock_fprog {
            len: self.0.len() as u16,
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the program outlives the call, which copies it, and is only read. The
        // flag keeps kernels before 5.16 from slowing everything down on its account.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                &raw const program,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The rules of one architecture, from the number of the call to the answer.
fn section(refused: &[u32], namespaces: [u32; 2]) -> Vec<sock_filter> {
    // Behind the list: allow, not permitted, not implemented, and a look at the flags.
    let mut rules: Vec<(u16, u32, Target)> = refused
        .iter()
        .map(|number| (IS_EQUAL, *number, Target::Refuse))
        .collect();
    rules.push((IS_EQUAL, libc::SYS_clone3 as u32, Target::Absent));
    rules.extend(namespaces.map(|number| (IS_EQUAL, number, Target::Flags)));
    // The numbers of x32, which is a second way to every call of x86-64.
    #[cfg(target_arch = "x86_64")]
    rules.push((AT_LEAST, 0x4000_0000, Target::Refuse));
    let count = rules.len();
    let mut section = vec![step(LOAD, NUMBER, 0, 0)];
    for (index, (code, value, target)) in rules.into_iter().enumerate() {
        section.push(step(code, value, count - 1 - index + target as usize, 0));
    }
    section.extend([
        step(ANSWER, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(ANSWER, errno(libc::EPERM), 0, 0),
        step(ANSWER, errno(libc::ENOSYS), 0, 0),
        step(LOAD, FIRST_ARGUMENT, 0, 0),
        step(HAS_BITS, NEW_USER, 0, 1),
        step(ANSWER, errno(libc::EPERM), 0, 0),
        step(ANSWER, libc::SECCOMP_RET_ALLOW, 0, 0),
    ]);
    section
}

/// Places of the answers, counted from the end of the list.
#[derive(Clone, Copy)]
enum Target {
    Refuse = 1,
    Absent = 2,
    Flags = 3,
}

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.unsigned_abs()
}

/// One instruction; both lists are far shorter than the 255 that a jump can skip.
fn step(code: u16, value: u32, then: usize, otherwise: usize) -> sock_filter {
    sock_filter {
        code,
        jt: then as u8,
        jf: otherwise as u8,
        k: value,
    }
}
