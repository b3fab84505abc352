//! Starting a command: everything is prepared by the parent, the child makes system calls
//! only.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use super::identity::{self, User};
use super::signals;
use crate::sandbox::failure::{Failure, failed};
use crate::sandbox::wire::Exec;

/// Longest single argument or variable that the kernel takes, with its terminator
/// (`MAX_ARG_STRLEN`).
const LONGEST: usize = 128 << 10;
const STACK: usize = 64 << 10;

/// What the child needs. It shares memory with the parent, which sleeps meanwhile.
struct Plan {
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    folder: *const c_char,
    shell: *const c_char,
    descriptors: [c_int; 3],
    /// None is whoever the parent is.
    user: *const User,
    /// What failed: 1 for the working folder, 2 for the shell, 3 for the user.
    stage: c_int,
    errno: c_int,
}

/// Starts a command as leader of a session of its own; returns its process id.
pub(super) fn start(exec: &Exec, outputs: &[OwnedFd; 2], null: &OwnedFd) -> Result<i32, Failure> {
    let command = terminated("the command", exec.command.as_bytes())?;
    let folder = terminated("the working folder", exec.working_dir.as_bytes())?;
    let (user, shell) = match &exec.identity {
        None => (None, "/bin/sh".to_owned()),
        Some(identity) => (
            Some(identity::find(identity.user.as_deref())?),
            identity::shell(exec.env.get("PATH").map(String::as_str))?,
        ),
    };
    let mut env = Vec::with_capacity(exec.env.len() + 1);
    if let Some(user) = &user
        && !exec.env.contains_key("HOME")
    {
        env.push(terminated(
            "HOME",
            format!("HOME={}", user.home).as_bytes(),
        )?);
    }
    let user = user.filter(|user| (user.uid, user.gid) != (0, 0) || !user.groups.is_empty());
    let program = terminated("the shell", shell.as_bytes())?;
    for (name, value) in &exec.env {
        env.push(terminated(
            &format!("the variable {name}"),
            format!("{name}={value}").as_bytes(),
        )?);
    }
    let argv = [
        c"sh".as_ptr(),
        c"-c".as_ptr(),
        command.as_ptr(),
        ptr::null(),
    ];
    let mut plan = Plan {
        argv: argv.to_vec(),
        envp: env
            .iter()
            .map(|entry| entry.as_ptr())
            .chain([ptr::null()])
            .collect(),
        folder: folder.as_ptr(),
        shell: program.as_ptr(),
        user: user.as_ref().map_or(ptr::null(), ptr::from_ref),
        descriptors: [
            null.as_raw_fd(),
            outputs[0].as_raw_fd(),
            outputs[1].as_raw_fd(),
        ],
        stage: 0,
        errno: 0,
    };
    let mut stack = vec![0_u64; STACK / size_of::<u64>()];
    // SAFETY: the stack is large enough for `child`, which calls nothing deep; with
    // CLONE_VFORK this process sleeps until the child has replaced itself or ended, so
    // everything that `plan` points to outlives the child's use of it.
    let pid = unsafe {
        libc::clone(
            child,
            stack.as_mut_ptr().add(stack.len()).cast::<c_void>(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut plan).cast::<c_void>(),
        )
    };
    if pid < 0 {
        return Err(failed("cannot start", "a process")(
            io::Error::last_os_error(),
        ));
    }
    // SAFETY: the child wrote it through the pointer it was given, and is gone.
    let (stage, errno) = unsafe {
        (
            ptr::read_volatile(&raw const plan.stage),
            ptr::read_volatile(&raw const plan.errno),
        )
    };
    if stage == 0 {
        return Ok(pid);
    }
    // SAFETY: waits for the child that just ended, into nothing.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    let error = io::Error::from_raw_os_error(errno);
    Err(match stage {
        1 => failed("cannot use the working folder", &exec.working_dir)(error),
        2 => failed("cannot run", &shell)(error),
        _ => failed("cannot become", "the user of the image")(error),
    })
}

fn terminated(what: &str, bytes: &[u8]) -> Result<CString, Failure> {
    let bad = |why: String| Failure {
        cause: why,
        errno: Some(libc::E2BIG),
        remedy: None,
    };
    if bytes.len() >= LONGEST {
        return Err(bad(format!(
            "{what} is {} bytes long; at most {} can be passed to a process",
            bytes.len(),
            LONGEST - 1
        )));
    }
    CString::new(bytes).map_err(|_| bad(format!("{what} contains a NUL character")))
}

/// Runs in the child, on its own stack and in the parent's memory: no allocation, no
/// lock, no panic.
extern "C" fn child(plan: *mut c_void) -> c_int {
    let plan = plan.cast::<Plan>();
    // SAFETY: the parent sleeps and has made sure that every pointer is valid; nothing
    // here but system calls and reads of prepared memory.
    unsafe {
        libc::setsid();
        for (index, descriptor) in (*plan).descriptors.iter().enumerate() {
            libc::dup2(*descriptor, index as c_int);
        }
        prefer_as_victim();
        if libc::chdir((*plan).folder) != 0 {
            fail(plan, 1);
        }
        if !(*plan).user.is_null() && !become_user(&*(*plan).user) {
            fail(plan, 3);
        }
        signals::unblock_all();
        libc::execve((*plan).shell, (*plan).argv.as_ptr(), (*plan).envp.as_ptr());
        fail(plan, 2)
    }
}

/// Makes commands the first to go where the whole system runs out of memory: before the
/// program that runs them, and the rest of the host. What is refused is as before.
///
/// # Safety
/// As for [`child`].
unsafe fn prefer_as_victim() {
    // SAFETY: system calls on constants; the descriptor is this process's own.
    unsafe {
        let file = libc::open(
            c"/proc/self/oom_score_adj".as_ptr(),
            libc::O_WRONLY | libc::O_CLOEXEC,
        );
        if file >= 0 {
            libc::write(file, c"500".as_ptr().cast(), 3);
            libc::close(file);
        }
    }
}

/// Becomes another user for good. By system calls of this thread alone: the library's
/// calls would tell the parent's threads.
///
/// # Safety
/// As for [`child`].
unsafe fn become_user(user: &User) -> bool {
    let (uid, gid) = (user.uid, user.gid);
    // SAFETY: system calls on numbers, and on a list that is as long as it says.
    unsafe {
        libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()) == 0
            && libc::syscall(libc::SYS_setresgid, gid, gid, gid) == 0
            && libc::syscall(libc::SYS_setresuid, uid, uid, uid) == 0
    }
}

/// Leaves the reason to the parent and ends.
///
/// # Safety
/// As for [`child`].
unsafe fn fail(plan: *mut Plan, stage: c_int) -> ! {
    // SAFETY: see `child`.
    unsafe {
        (*plan).errno = *libc::__errno_location();
        (*plan).stage = stage;
        libc::_exit(127)
    }
}
