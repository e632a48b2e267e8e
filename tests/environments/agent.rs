//! A supervisor that container runtimes send a filter's listener to. It keeps what it receives and answers nothing.

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, accept4,
    bind, listen, recvmsg, socket,
};

/// The agent, until it is dropped.
pub struct Agent {
    stop: Arc<AtomicBool>,
    has_listener: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Listens on a socket of this type.
    pub fn new(path: &Path, kind: SockType) -> Result<Self, String> {
        let serve = || -> nix::Result<OwnedFd> {
            let server = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
            bind(server.as_raw_fd(), &UnixAddr::new(path)?)?;
            listen(&server, Backlog::new(8)?)?;
            Ok(server)
        };
        let server = serve().map_err(|errno| format!("{}: {errno}", path.display()))?;
        let (stop, has_listener) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let thread = {
            let (stop, has_listener) = (Arc::clone(&stop), Arc::clone(&has_listener));
            thread::spawn(move || run(&server, &stop, &has_listener))
        };
        Ok(Self { stop, has_listener, thread: Some(thread) })
    }

    /// Whether a listener has come.
    pub fn has_listener(&self) -> bool {
        self.has_listener.load(Ordering::SeqCst)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(server: &OwnedFd, stop: &AtomicBool, has_listener: &AtomicBool) {
    let mut connections: Vec<OwnedFd> = Vec::new();
    let mut kept: Vec<OwnedFd> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let sources = [server].into_iter().chain(&connections);
        let mut events: Vec<PollFd> =
            sources.map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN)).collect();
        if poll(&mut events, PollTimeout::from(20_u8)).is_err() {
            continue;
        }
        let ready: Vec<bool> = events.iter().map(|event| event.any() == Some(true)).collect();
        // From the last on, since one that is at its end is taken out.
        for at in (0..connections.len()).rev().filter(|at| ready[at + 1]) {
            match receive(&connections[at]) {
                Some(received) => kept.extend(received),
                None => drop(connections.swap_remove(at)),
            }
        }
        if ready[0]
            && let Ok(connection) = accept4(server.as_raw_fd(), SockFlag::SOCK_CLOEXEC)
        {
            // SAFETY: the call has just made it.
            connections.push(unsafe { OwnedFd::from_raw_fd(connection) });
        }
        let is_listener = |fd: &OwnedFd| {
            let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
            link.is_ok_and(|link| link.as_os_str() == "anon_inode:seccomp notify")
        };
        if kept.iter().any(is_listener) {
            has_listener.store(true, Ordering::SeqCst);
        }
    }
}

/// The descriptors that come with a message; `None` at the connection's end.
fn receive(connection: &OwnedFd) -> Option<Vec<OwnedFd>> {
    let mut buffer = [0; 1 << 16];
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let mut control = nix::cmsg_space!([i32; 16]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(connection.as_raw_fd(), &mut slices, Some(&mut control), flags);
    let message = message.ok()?;
    let mut received = Vec::new();
    for part in message.cmsgs().ok()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part {
            // SAFETY: the kernel has just made them.
            received.extend(descriptors.iter().map(|&fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    if message.bytes == 0 && received.is_empty() { None } else { Some(received) }
}
