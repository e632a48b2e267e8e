//! Compares how the policy resolves paths with a plain model of a small tree below /tmp. The input is paths, one in each
//! line, which are made one after another.
//!
//! The target runs in its own mount namespace with an empty /tmp and an empty /mnt: it changes nothing else on this
//! machine, and a file in /mnt is an escape.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use seccomp_notify_min::policy::Tmp;

/// The tree before each input: the components of each path, and its kind.
const TREE: &[(&[&str], Node)] = &[
    (&["d"], Node::Directory),
    (&["d", "d"], Node::Directory),
    (&["f"], Node::File),
    (&["d", "f"], Node::File),
    (&["l"], Node::Link("/mnt")),
    (&["d", "l"], Node::Link("../../mnt")),
    (&["i"], Node::Link("d")),
    (&["o"], Node::Link("o")),
    (&["n"], Node::Link("/nowhere")),
];

#[derive(Clone, Copy, PartialEq)]
enum Node {
    Directory,
    File,
    Link(&'static str),
}

type Tree = BTreeMap<Vec<Vec<u8>>, Node>;

/// The limit of a name in bytes (`mkdir(2)`, ENAMETOOLONG).
const NAME_MAX: usize = 255;

fn set_up() {
    if !geteuid().is_root() {
        unshare(CloneFlags::CLONE_NEWUSER).expect("a user namespace");
    }
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
    for place in ["/tmp", "/mnt"] {
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), none).expect("a tmpfs");
    }
    for (path, node) in TREE {
        let path = PathBuf::from("/tmp").join(path.iter().collect::<PathBuf>());
        match node {
            Node::Directory => fs::create_dir(path).unwrap(),
            Node::File => fs::write(path, "").unwrap(),
            Node::Link(to) => symlink(to, path).unwrap(),
        }
    }
}

/// The model: the components of the directory that must be made for a path behind `/tmp/`, or the error.
fn model(tree: &mut Tree, path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
    let components: Vec<&[u8]> =
        path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
    if components.contains(&&b".."[..]) {
        return Err(Errno::EPERM);
    }
    let Some((last, on_the_way)) = components.split_last() else { return Err(Errno::EEXIST) };
    let mut place = vec![];
    for name in on_the_way {
        if *name == b"." {
            continue;
        }
        place.push(name.to_vec());
        match tree.get(&place) {
            _ if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            None => return Err(Errno::ENOENT),
            Some(Node::File) => return Err(Errno::ENOTDIR),
            Some(Node::Link(_)) => return Err(Errno::EPERM),
            Some(Node::Directory) => {}
        }
    }
    if *last == b"." {
        return Err(Errno::EEXIST);
    }
    place.push(last.to_vec());
    match tree.get(&place) {
        _ if last.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        Some(Node::Link(_)) => Err(Errno::EPERM),
        Some(_) => Err(Errno::EEXIST),
        None => {
            tree.insert(place.clone(), Node::Directory);
            Ok(place)
        }
    }
}

fuzz_target!(init: set_up(), |input: &[u8]| {
    let mut tree: Tree = TREE
        .iter()
        .map(|(path, node)| (path.iter().map(|name| name.as_bytes().to_vec()).collect(), *node))
        .collect();
    // One for all inputs: its descriptor of /tmp stays open.
    thread_local!(static TMP: std::cell::RefCell<Tmp> = std::cell::RefCell::default());
    let mut made = vec![];
    for path in input.split(|&byte| byte == b'\n') {
        if path.contains(&0) {
            continue;
        }
        let mut beneath = [path, b"\0"].concat();
        let found = TMP.with_borrow_mut(|tmp| tmp.make(&mut beneath, 0o700));
        let found = found.map_err(|errno| Errno::from_raw(errno.number() as i32));
        let wanted = model(&mut tree, path);
        assert_eq!(found, wanted.as_ref().map(drop).map_err(|errno| *errno));
        if let Ok(components) = wanted {
            let names = components.into_iter().map(std::ffi::OsString::from_vec);
            made.push(PathBuf::from("/tmp").join(names.collect::<PathBuf>()));
        }
    }
    // All those directories exist, and nothing was made outside /tmp.
    assert_eq!(fs::read_dir("/mnt").unwrap().count(), 0);
    for path in made.iter().rev() {
        fs::remove_dir(path).expect("a directory that was made, and is empty");
    }
});
