//! Branch coverage of the image itself, with all suites: the conditional branches that did not go both ways, and the source lines
//! that were not reached.
//!
//! The program has no runtime and no writable page for counters. So the kernel counts: a uprobe on each conditional jump records
//! the flags, which determine the direction of the jump, and a uprobe at the beginning of each basic block counts. The probes
//! see every process that executes the image's file, also if another process traces it. A probe is removed as soon as it can
//! give no more information.
//!
//! Branches are those of the machine code: `&&` has two, a `match` has several, a comparison without a jump has none, and a
//! branch in an inlined function counts once for each place that it is inlined at.
//!
//! With `COVERAGE_README=write` the list of what no test reaches is written to docs/guarantees.md.

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, ptr};

use common::document;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Formatter, Instruction, NasmFormatter};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use object::{Object, ObjectSegment, ObjectSymbol};
use perf_event_open_sys::bindings::{
    PERF_RECORD_LOST, PERF_RECORD_SAMPLE, PERF_SAMPLE_IP, PERF_SAMPLE_REGS_INTR, perf_event_attr,
    perf_event_header, perf_event_mmap_page,
};
use perf_event_open_sys::{ioctls, perf_event_open};

/// Reasons of several entries.
const NO_PANIC: &str = "cannot be; written so that there is no panicking code";
const NO_LISTENER: &str = "nothing that needs the listener is tried without it";
const OTHER_MEMORY: &str = "the address of a path of this target is always good, and the string short; \
    tests/hostile.rs has other targets for the library's tracer, tests/refused.rs other answers";

/// Branches that do not go both ways in any test, and lines that no test reaches: the file, a part of the line, and the reason.
#[rustfmt::skip]
const KNOWN: &[(&str, &str, &str)] = &[
    ("fmt.rs", "in (0..).zip(characters.iter_mut().rev())", "no number has 32 digits; written so that there is no panicking code"),
    ("fmt.rs", "self.memory.get_mut(self.length)", "inlined where the buffer is known to be long enough"),
    ("fmt.rs", "args.next()", "each template has its arguments; written so that there is no panicking code"),
    ("fmt.rs", "value > 0 || count == 0", "inlined where the base and the width are constant"),
    ("print.rs", "bytes.get(written..)", "the kernel writes no more than it is given; written so that there is no panicking code"),
    ("options.rs", "arguments.get_mut(directories)", NO_PANIC),
    ("options.rs", "arguments.get(..directories)", NO_PANIC),
    ("policy.rs", "path.split_at_mut_checked(last)", NO_PANIC),
    ("memory.rs", "error.is(Errno::EFAULT) && can_read_itself", OTHER_MEMORY),
    ("memory.rs", "file_error.is(Errno::EIO)", "made by the compiler: it asks once more where the error is known to be ENOTDIR"),
    ("memory.rs", "can_read_itself(read_file)", OTHER_MEMORY),
    ("tracer.rs", "read < length", OTHER_MEMORY),
    ("tracer.rs", "Ok(Path::Unreadable(Errno::ENAMETOOLONG))", OTHER_MEMORY),
    ("tracer.rs", "self.options.count.is_none()", "inlined where a delay or an unreadable path is told: no test measures there"),
    ("sys/strings.rs", "let (byte, rest) = self.split_first()?;", "inlined where a byte follows for certain: in a template, after a brace"),
    ("sys/strings.rs", "while *rest.split_off_first()? != 0 {}", "inlined where the string's NUL is known to be there; written so that there is no panicking code"),
    ("options.rs", "match letter {", "options that take no value are never set with one; written so that there is no panicking code"),
    ("parent.rs", "!good.contains(&tracer_ended.exit_status())", "made by the compiler: it asks whether each of the two good ends is an exit status, and both are"),
    ("probe.rs", "let hint = match (error.call(), error.errno()) {", "made by the compiler: it asks for `KILLED` once more where the error is known to be EINVAL or ENOSYS"),
    ("probe.rs", "if let (true, Some((major, minor))) = (is_unknown, thing.since) {", "inlined for end-told, which has a version for certain"),
    ("probe.rs", "if let Fork::Parent(pid) = forked? {", "the child does not come here: it has ended some lines before"),
    ("probe.rs", "listener()", NO_LISTENER),
    ("probe.rs", "fn try_sync_wake_up", NO_LISTENER),
    ("probe.rs", "match sys::recvmsg_once(self.socket)? {", "the child has ended, and what it told or the end of the stream is there"),
    ("tracer.rs", "Received::NoDescriptor", "the tracer has just closed a descriptor, so there is room for the listener; a security module might withhold it"),
];

/// The code of an image.
struct Code {
    /// All instructions of all functions, by address.
    instructions: BTreeMap<u64, Instruction>,
    /// The addresses at which basic blocks begin.
    leaders: BTreeSet<u64>,
    /// The difference between an address and the offset in the file.
    to_file: u64,
}

impl Code {
    fn of(image: &Path) -> Self {
        let bytes = fs::read(image).expect("the image");
        let file = object::File::parse(&*bytes).expect("an ELF file");
        let segment = file.segments().next().expect("a segment");
        let to_file = segment.file_range().0.wrapping_sub(segment.address());
        let mut instructions = BTreeMap::new();
        let mut leaders = BTreeSet::new();
        for symbol in file.symbols().filter(|it| it.kind() == object::SymbolKind::Text) {
            let begin = symbol.address().wrapping_add(to_file) as usize;
            let code = &bytes[begin..begin + symbol.size() as usize];
            let decoder = Decoder::with_ip(64, code, symbol.address(), DecoderOptions::NONE);
            leaders.insert(symbol.address());
            for instruction in decoder {
                let next = instruction.next_ip();
                match instruction.flow_control() {
                    FlowControl::Next => {}
                    FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                        leaders.extend([instruction.near_branch_target(), next]);
                    }
                    _ => {
                        leaders.insert(next);
                    }
                }
                instructions.insert(instruction.ip(), instruction);
            }
        }
        leaders.retain(|leader| instructions.contains_key(leader));
        Self { instructions, leaders, to_file }
    }

    fn branches(&self) -> impl Iterator<Item = &Instruction> {
        self.instructions.values().filter(|it| it.flow_control() == FlowControl::ConditionalBranch)
    }
}

/// Whether a conditional jump is taken with these flags (Intel's manual, "Jcc").
fn is_taken(jump: &Instruction, flags: u64) -> bool {
    use iced_x86::ConditionCode as C;
    let flag = |bit: u32| flags >> bit & 1 == 1;
    let (carry, parity, zero, sign, overflow) = (flag(0), flag(2), flag(6), flag(7), flag(11));
    match jump.condition_code() {
        C::o => overflow,
        C::no => !overflow,
        C::b => carry,
        C::ae => !carry,
        C::e => zero,
        C::ne => !zero,
        C::be => carry || zero,
        C::a => !carry && !zero,
        C::s => sign,
        C::ns => !sign,
        C::p => parity,
        C::np => !parity,
        C::l => sign != overflow,
        C::ge => sign == overflow,
        C::le => zero || sign != overflow,
        C::g => !zero && sign == overflow,
        C::None => panic!("a jump that depends on a register: {jump}"),
    }
}

/// A probe in the image, for every process on one CPU.
fn probe(image: &CString, offset: u64, cpu: i32, sampled: bool) -> io::Result<OwnedFd> {
    /// `enum perf_event_x86_regs`, of `asm/perf_regs.h`.
    const FLAGS: u64 = 1 << 9;
    let kind = fs::read_to_string("/sys/bus/event_source/devices/uprobe/type")?;
    let mut attributes = perf_event_attr::default();
    attributes.type_ = kind.trim().parse().map_err(io::Error::other)?;
    attributes.size = size_of::<perf_event_attr>() as u32;
    attributes.__bindgen_anon_3.config1 = image.as_ptr() as u64;
    attributes.__bindgen_anon_4.config2 = offset;
    if sampled {
        attributes.__bindgen_anon_1.sample_period = 1;
        attributes.sample_type = u64::from(PERF_SAMPLE_IP | PERF_SAMPLE_REGS_INTR);
        attributes.sample_regs_intr = FLAGS;
    }
    // SAFETY: the attributes, and the path that they point to, are valid during the call.
    let fd = unsafe { perf_event_open(&raw mut attributes, -1, cpu, -1, 8) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Where the kernel puts the samples of one CPU (`perf_event_open(2)`, "MMAP layout").
struct Ring {
    page: *mut perf_event_mmap_page,
    page_size: usize,
    size: usize,
    lost: u64,
}

impl Ring {
    const PAGES: usize = 1 << 12;

    fn new(of: &OwnedFd) -> Self {
        let page_size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap();
        let page_size = page_size as usize;
        let length = NonZeroUsize::new((1 + Self::PAGES) * page_size).unwrap();
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses. It stays for the whole test.
        let page = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, of, 0) };
        let page = page.expect("a ring of samples").cast().as_ptr();
        Self { page, page_size, size: Self::PAGES * page_size, lost: 0 }
    }

    /// Reads all samples: address and flags.
    fn drain(&mut self, mut take: impl FnMut(u64, u64)) {
        // SAFETY: the mapping's first page is this structure, to which the kernel writes at the same time.
        let (head, tail) =
            unsafe { (&raw const (*self.page).data_head, &raw mut (*self.page).data_tail) };
        // SAFETY: as above.
        let (end, mut at) = unsafe { (ptr::read_volatile(head), ptr::read_volatile(tail)) };
        fence(Ordering::Acquire);
        while at < end {
            let header = self.word(at);
            let kind = header as u32;
            let size = header >> 48;
            match kind {
                PERF_RECORD_SAMPLE => {
                    // A sample has the header, the address, the ABI of the registers, and one register.
                    take(self.word(at + 8), self.word(at + 24));
                }
                PERF_RECORD_LOST => self.lost += self.word(at + 16),
                _ => {}
            }
            assert!(size as usize >= size_of::<perf_event_header>());
            at += size;
        }
        fence(Ordering::Release);
        // SAFETY: as above.
        unsafe { ptr::write_volatile(tail, end) };
    }

    /// A word of the ring. Records are multiples of words.
    fn word(&self, at: u64) -> u64 {
        let at = self.page_size + at as usize % self.size;
        // SAFETY: the address is inside the mapping, after its first page.
        unsafe { ptr::read_volatile(self.page.byte_add(at).cast::<u64>()) }
    }
}

/// Removes probes. The kernel needs some time for this, so another thread does it.
fn remove(probes: Vec<OwnedFd>) {
    thread::spawn(|| drop(probes));
}

/// What is known about the code's execution.
struct Coverage {
    code: Code,
    rings: Vec<Ring>,
    /// For each branch, how often it was taken and not taken. The counts stop when both have occurred.
    branches: BTreeMap<u64, [u64; 2]>,
    reached: BTreeSet<u64>,
    branch_probes: BTreeMap<u64, Vec<OwnedFd>>,
    leader_probes: BTreeMap<u64, Vec<OwnedFd>>,
    /// The probes that the rings belong to.
    _owners: Vec<OwnedFd>,
}

impl Coverage {
    fn new(image: &Path) -> io::Result<Self> {
        let code = Code::of(image);
        let name = CString::new(image.as_os_str().as_bytes())?;
        let cpus: Vec<i32> = (0..thread::available_parallelism()?.get() as i32).collect();
        let offset = |address: u64| address.wrapping_add(code.to_file);

        let mut rings = vec![];
        let mut owners = vec![];
        // The probe that owns a ring must stay. It is at the entry point, which each process executes once.
        let first = *code.leaders.first().expect("code");
        for &cpu in &cpus {
            let owner = probe(&name, offset(first), cpu, true)?;
            rings.push(Ring::new(&owner));
            owners.push(owner);
        }
        let mut branch_probes = BTreeMap::new();
        for jump in code.branches() {
            let mut probes = vec![];
            for &cpu in &cpus {
                let it = probe(&name, offset(jump.ip()), cpu, true)?;
                let ring = owners[cpu as usize].as_raw_fd();
                // SAFETY: both descriptors are open.
                if unsafe { ioctls::SET_OUTPUT(it.as_raw_fd(), ring) } < 0 {
                    return Err(io::Error::last_os_error());
                }
                probes.push(it);
            }
            branch_probes.insert(jump.ip(), probes);
        }
        let mut leader_probes = BTreeMap::new();
        for &leader in &code.leaders {
            let probes: io::Result<Vec<_>> =
                cpus.iter().map(|&cpu| probe(&name, offset(leader), cpu, false)).collect();
            leader_probes.insert(leader, probes?);
        }
        let branches = branch_probes.keys().map(|&address| (address, [0; 2])).collect();
        Ok(Self {
            code,
            rings,
            branches,
            reached: BTreeSet::new(),
            branch_probes,
            leader_probes,
            _owners: owners,
        })
    }

    /// Reads the samples, and removes the probes of branches that went both ways.
    fn collect(&mut self) {
        for ring in &mut self.rings {
            ring.drain(|address, flags| {
                if let Some(seen) = self.branches.get_mut(&address) {
                    let taken = is_taken(&self.code.instructions[&address], flags);
                    seen[usize::from(!taken)] += 1;
                }
            });
        }
        let is_known = |address: &u64| !self.branches[address].contains(&0);
        let known: Vec<u64> = self.branch_probes.keys().copied().filter(is_known).collect();
        for address in known {
            remove(self.branch_probes.remove(&address).expect("its probes"));
        }
    }

    /// Finds the blocks that were reached, and removes their probes.
    fn collect_blocks(&mut self) {
        let is_reached = |probes: &Vec<OwnedFd>| {
            probes.iter().any(|probe| {
                let mut count = [0; 8];
                nix::unistd::read(probe, &mut count).expect("the probe's count");
                u64::from_ne_bytes(count) > 0
            })
        };
        let reached: Vec<u64> = self
            .leader_probes
            .iter()
            .filter(|(_, probes)| is_reached(probes))
            .map(|(&address, _)| address)
            .collect();
        for address in reached {
            remove(self.leader_probes.remove(&address).expect("its probes"));
            self.reached.insert(address);
        }
    }

    /// The block that an instruction belongs to.
    fn leader(&self, address: u64) -> u64 {
        *self.code.leaders.range(..=address).next_back().expect("a block")
    }
}

/// The source lines of the code.
struct Sources {
    loader: addr2line::Loader,
    root: PathBuf,
}

impl Sources {
    /// The innermost line of this package that an instruction comes from, and the function.
    fn line(&self, address: u64) -> Option<(String, u32, String)> {
        let mut frames = self.loader.find_frames(address).ok()?;
        while let Ok(Some(frame)) = frames.next() {
            let Some(location) = frame.location else { continue };
            let (Some(file), Some(line)) = (location.file, location.line) else { continue };
            let path = Path::new(file);
            let within = path.strip_prefix(&self.root).ok().unwrap_or(path);
            if within.starts_with("src") {
                let function = frame.function.and_then(|it| it.demangle().ok().map(String::from));
                let function = function.unwrap_or_default();
                return Some((within.display().to_string(), line, function));
            }
        }
        None
    }

    /// The text of a line; for the end of a function, also its first line.
    fn text(&self, file: &str, line: u32) -> String {
        let source = fs::read_to_string(self.root.join(file)).unwrap_or_default();
        let mut until = source.lines().take(line as usize).map(str::trim).collect::<Vec<_>>();
        match until.pop().unwrap_or_default() {
            "}" => match until.iter().rfind(|line| line.contains("fn ")) {
                Some(begin) => format!("{begin} … }}"),
                None => "}".to_owned(),
            },
            text => text.to_owned(),
        }
    }
}

/// The black-box tests: those that run the image.
fn suites() -> Vec<String> {
    if let Ok(chosen) = env::var("COVERAGE_TESTS") {
        return chosen.split_whitespace().map(String::from).collect();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut suites = vec![];
    for entry in fs::read_dir(root).expect("the tests") {
        let path = entry.expect("a test").path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let source = fs::read_to_string(&path).unwrap_or_default();
        // Not the tests of the image's bytes: the image here has symbols. Not the soak test: it repeats the same code
        // faster than the samples can be read.
        let is_other = ["builds", "coverage", "image", "layers", "soak", "toolchains"]
            .contains(&name.as_str());
        if source.contains("mod common;") && !is_other {
            suites.push(name);
        }
    }
    suites.sort();
    suites
}

#[test]
#[ignore = "takes minutes; needs root and a kernel with uprobes"]
fn every_branch_is_known() {
    if !cfg!(target_arch = "x86_64") {
        common::skipped("coverage", "only x86-64's jumps are known here");
        return;
    }
    let begin = Instant::now();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("more descriptors");
    let image = common::build("unstripped");
    let mut coverage = match Coverage::new(&image) {
        Ok(coverage) => coverage,
        Err(why) => {
            common::skipped("coverage", format!("this system has no uprobes for us: {why}"));
            return;
        }
    };

    let suites = suites();
    println!("probes set in {:.0} s", begin.elapsed().as_secs_f64());
    println!("running {}", suites.join(", "));
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("coverage.log");
    let output = File::create(&log).expect("a log");
    let mut failed = vec![];
    for suite in &suites {
        // One suite at a time, so that the others run also if one does not build.
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["test", "--quiet", "--test", suite]);
        if cfg!(feature = "backend-sc") {
            cargo.args(["--features", "backend-sc"]);
        }
        cargo.env("SECCOMP_NOTIFY_MIN", &image).stdin(Stdio::null());
        // Fewer command lines: a program with a thousand probes starts slowly.
        cargo.env("COMMAND_LINES", "2000");
        let stream = || output.try_clone().expect("the log");
        cargo.stdout(stream()).stderr(stream());
        let mut running = cargo.spawn().expect("cargo");
        let since = Instant::now();
        let mut last = Instant::now();
        let status = loop {
            if let Some(status) = running.try_wait().expect("cargo's end") {
                break status;
            }
            coverage.collect();
            if last.elapsed() > Duration::from_millis(300) {
                coverage.collect_blocks();
                last = Instant::now();
            }
            thread::sleep(Duration::from_millis(5));
        };
        coverage.collect();
        coverage.collect_blocks();
        let seen: usize = coverage.branches.values().flatten().filter(|&&count| count > 0).count();
        println!(
            "{suite:16} {:10} {:4.0} s, {seen} directions seen so far",
            if status.success() { "passed" } else { "FAILED" },
            since.elapsed().as_secs_f64()
        );
        if !status.success() {
            failed.push(suite);
        }
    }
    let unreached = report(&coverage, &image);
    let lost: u64 = coverage.rings.iter().map(|ring| ring.lost).sum();
    println!("{lost} samples lost; in {:.0} s", begin.elapsed().as_secs_f64());
    println!("failed under the probes, see {}: {failed:?}", log.display());
    remove_all(coverage);
    let unknown: Vec<_> = unreached.iter().filter(|(_, why)| why == UNKNOWN).collect();
    assert!(unknown.is_empty(), "no test reaches these, and no reason is known: {unknown:#?}");
    if document::is_asked_for("COVERAGE_README") {
        let rows: String =
            unreached.iter().map(|(place, why)| format!("| {place} | {why} |\n")).collect();
        let table = format!("\n| where | why no test reaches it |\n| --- | --- |\n{rows}\n");
        document::put("unreached", &table).expect("the page can be written");
    }
    assert!(failed.is_empty(), "failed under the probes: {failed:?}");
}

/// Removes the remaining probes, many at the same time: one after the other takes minutes.
fn remove_all(coverage: Coverage) {
    let probes = coverage.branch_probes.into_values().chain(coverage.leader_probes.into_values());
    let mut probes: Vec<OwnedFd> = probes.flatten().collect();
    thread::scope(|scope| {
        while !probes.is_empty() {
            let some = probes.split_off(probes.len().saturating_sub(16));
            scope.spawn(|| drop(some));
        }
    });
}

/// The text if there is no reason.
const UNKNOWN: &str = "no reason is known";

/// Prints the result, and returns what no test reaches: each place in the sources once, with the reason.
fn report(coverage: &Coverage, image: &Path) -> BTreeSet<(String, String)> {
    let loader = addr2line::Loader::new(image).expect("the image's line table");
    let sources = Sources { loader, root: env!("CARGO_MANIFEST_DIR").into() };
    let known = |file: &str, text: &str| {
        KNOWN
            .iter()
            .find(|(in_file, part, _)| file.ends_with(in_file) && text.contains(part))
            .map_or(UNKNOWN, |(.., why)| why)
    };

    let (mut both, mut one, mut none) = (0, vec![], vec![]);
    for (&address, &[taken, not_taken]) in &coverage.branches {
        match (taken, not_taken) {
            (0, 0) => none.push(address),
            (1.., 1..) => both += 1,
            _ => one.push((address, taken > 0)),
        }
    }
    let all = coverage.branches.len();
    println!(
        "\nconditional branches: {all}; seen both ways: {both}; one way: {}; never: {}",
        one.len(),
        none.len()
    );
    println!("directions: {} of {}", 2 * both + one.len(), 2 * all);
    println!("basic blocks: {}; reached: {}", coverage.code.leaders.len(), coverage.reached.len());

    let unreached = RefCell::new(BTreeSet::new());
    let place = |address: u64| match sources.line(address) {
        Some((file, line, function)) => {
            let text = sources.text(&file, line);
            let why = known(&file, &text);
            unreached
                .borrow_mut()
                .insert((format!("{file}: `{}`", text.replace('|', "\\|")), why.into()));
            format!("{file}:{line} in {function}: `{text}`: {why}")
        }
        None => {
            unreached.borrow_mut().insert((format!("{address:#x}"), UNKNOWN.into()));
            format!("not this package's source: {UNKNOWN}")
        }
    };
    let mut formatter = NasmFormatter::new();
    let mut shown = |address: u64| {
        let mut text = String::new();
        formatter.format(&coverage.code.instructions[&address], &mut text);
        format!("{address:#x} {text}")
    };
    println!("\nseen one way only:");
    for (address, taken) in one {
        let way = if taken { "always jumps" } else { "never jumps" };
        println!("  {} {way}: {}", shown(address), place(address));
    }
    println!("\nnever met:");
    for address in none {
        println!("  {}: {}", shown(address), place(address));
    }

    let (mut reached, mut missed) = (BTreeSet::new(), BTreeSet::new());
    for &address in coverage.code.instructions.keys() {
        if let Some((file, line, _)) = sources.line(address) {
            let is_reached = coverage.reached.contains(&coverage.leader(address));
            if is_reached { &mut reached } else { &mut missed }.insert((file, line));
        }
    }
    println!("\nsource lines with code: {}; never reached:", reached.union(&missed).count());
    for (file, line) in missed.difference(&reached) {
        let text = sources.text(file, *line);
        let why = known(file, &text);
        println!("  {file}:{line}: `{text}`: {why}");
        unreached.borrow_mut().insert((format!("{file}: `{text}`"), why.into()));
    }
    println!();
    unreached.into_inner()
}
