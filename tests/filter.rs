//! The filters: each case that they must decide, by a small interpreter of BPF, and the most dangerous
//! ones by the real kernel.

mod common;

use common::{Ended, in_child, install_filter, skipped};
use proptest::prelude::*;
use seccomp_notify_min::abi::sock_filter;
use seccomp_notify_min::arch::{AUDIT_ARCH, FOREIGN_BIT, NOTIFIED};
use seccomp_notify_min::filter::{ACTION, Action, LENGTH, program};

/// What the kernel shows a filter (`struct seccomp_data`, seccomp(2)).
#[derive(Clone, Copy, Debug)]
struct Call {
    nr: u32,
    arch: u32,
    instruction_pointer: u64,
    arguments: [u64; 6],
}

impl Call {
    fn native(nr: u32) -> Self {
        Self { nr, arch: AUDIT_ARCH, instruction_pointer: 0, arguments: [0; 6] }
    }

    /// As the bytes that the filter loads from.
    fn bytes(self) -> Vec<u8> {
        let mut bytes = [self.nr.to_ne_bytes(), self.arch.to_ne_bytes()].concat();
        bytes.extend(self.instruction_pointer.to_ne_bytes());
        bytes.extend(self.arguments.into_iter().flat_map(u64::to_ne_bytes));
        bytes
    }
}

/// The instructions that the interpreter knows (`linux/bpf_common.h`).
mod code {
    pub const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    pub const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    pub const IF_GREATER: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
    pub const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    pub const IF_SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    pub const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
}

/// Runs a filter as the kernel would, and refuses what the kernel would refuse to install or what this
/// program has no use for.
fn interpret(filter: &[sock_filter], call: Call) -> u32 {
    let data = call.bytes();
    let (mut accumulator, mut at) = (0_u32, 0);
    loop {
        let instruction = filter.get(at).expect("a filter ends with a return");
        at += 1;
        let sock_filter { code, jt, jf, k } = *instruction;
        let mut jump = |condition| at += usize::from(if condition { jt } else { jf });
        match u32::from(code) {
            code::LOAD => {
                let k = k as usize;
                assert!(
                    k.is_multiple_of(4) && k + 4 <= data.len(),
                    "a load of an aligned word within the data"
                );
                accumulator = u32::from_ne_bytes(data[k..k + 4].try_into().unwrap());
            }
            code::IF_EQUAL => jump(accumulator == k),
            code::IF_AT_LEAST => jump(accumulator >= k),
            code::IF_GREATER => jump(accumulator > k),
            code::IF_SET => jump(accumulator & k != 0),
            code::RETURN => return k,
            code => panic!("instruction {code:#x} at {}", at - 1),
        }
    }
}

/// The three filters: the first, and both second ones.
const ACTIONS: [Action; 3] = [Action::Notify, Action::Errno, Action::Trace];

const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// What the specification wants of a filter.
fn model(action: Action, call: Call) -> u32 {
    let foreign_number = FOREIGN_BIT.is_some_and(|bit| (bit..bit << 1).contains(&call.nr));
    if call.arch != AUDIT_ARCH || foreign_number {
        KILL
    } else if call.nr == NOTIFIED.number {
        action as u32
    } else {
        ALLOW
    }
}

#[test]
fn the_actions_are_the_kernels() {
    assert_eq!(Action::Notify as u32, 0x7fc0_0000);
    assert_eq!(Action::Errno as u32, 0x0005_0000 | 95, "EOPNOTSUPP");
    assert_eq!(Action::Trace as u32 & 0xffff_0000, 0x7ff0_0000);
    assert_eq!(KILL, 0x8000_0000);
    // Which precedes which (seccomp(2)): the lower the number, the sooner, as a signed one.
    let order = [KILL, Action::Errno as u32, Action::Notify as u32, Action::Trace as u32, ALLOW];
    assert!(order.is_sorted_by_key(|&action| action.cast_signed()));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_notified_call_is_mkdir() {
    assert_eq!(i64::from(NOTIFIED.number), libc::SYS_mkdir);
    assert_eq!((AUDIT_ARCH, FOREIGN_BIT), (0xc000_003e, Some(0x4000_0000)));
}

#[test]
#[cfg(not(target_arch = "x86_64"))]
fn the_notified_call_is_mkdirat() {
    assert_eq!(i64::from(NOTIFIED.number), libc::SYS_mkdirat);
}

#[test]
fn the_notified_call_gets_the_action_and_its_neighbours_are_allowed() {
    for action in ACTIONS {
        let filter = program(action);
        let number = NOTIFIED.number;
        assert_eq!(interpret(&filter, Call::native(number)), action as u32);
        assert_eq!(interpret(&filter, Call::native(number - 1)), ALLOW);
        assert_eq!(interpret(&filter, Call::native(number + 1)), ALLOW);
    }
}

#[test]
fn every_call_of_the_native_architecture_is_decided_as_specified() {
    for action in ACTIONS {
        let filter = program(action);
        for number in 0..=1000 {
            let call = Call::native(number);
            assert_eq!(interpret(&filter, call), model(action, call), "{action:?}, {call:?}");
        }
    }
}

#[test]
fn a_foreign_architecture_is_killed_at_any_call() {
    // i386, arm, aarch64, riscv64, x86-64, s390x, and none at all.
    let architectures =
        [0x4000_0003, 0x4000_0028, 0xc000_00b7, 0xc000_00f3, 0xc000_003e, 0x8000_0016, 0, u32::MAX];
    for action in ACTIONS {
        let filter = program(action);
        for arch in architectures.into_iter().filter(|&arch| arch != AUDIT_ARCH) {
            for nr in (0..=1000).chain([u32::MAX]) {
                let call = Call { arch, ..Call::native(nr) };
                assert_eq!(interpret(&filter, call), KILL, "{action:?}, {call:?}");
            }
        }
        for bit in 0..32 {
            let call = Call { arch: AUDIT_ARCH ^ (1 << bit), ..Call::native(NOTIFIED.number) };
            assert_eq!(interpret(&filter, call), KILL, "{action:?}, {call:?}");
        }
    }
}

#[test]
fn numbers_of_the_second_abi_are_killed() {
    let Some(first) = FOREIGN_BIT else {
        return skipped("numbers of a second ABI", "this architecture has none");
    };
    for action in ACTIONS {
        let filter = program(action);
        for nr in (0..=1000).map(|nr| first | nr).chain([first, (first << 1) - 1]) {
            assert_eq!(interpret(&filter, Call::native(nr)), KILL, "{action:?}, {nr:#x}");
        }
        assert_eq!(interpret(&filter, Call::native(first - 1)), ALLOW);
    }
}

#[test]
fn negative_numbers_are_allowed() {
    // A ptracer that skips a call leaves one behind, and the kernel runs none of them.
    for action in ACTIONS {
        let filter = program(action);
        for nr in (1..=1000).map(|nr: i32| (-nr).cast_unsigned()).chain([1 << 31, 0xc000_0000]) {
            assert_eq!(interpret(&filter, Call::native(nr)), ALLOW, "{action:?}, {nr:#x}");
        }
    }
}

#[test]
fn the_second_filter_differs_from_the_first_in_its_action_only() {
    let bits = |filter: [sock_filter; LENGTH]| filter.map(|i| (i.code, i.jt, i.jf, i.k));
    let notify = bits(program(Action::Notify));
    for action in ACTIONS {
        let mut expected = notify;
        expected[ACTION].3 = action as u32;
        assert_eq!(bits(program(action)), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_call_is_decided_as_specified(
        nr in prop_oneof![any::<u32>(), 0_u32..500, Just(NOTIFIED.number)],
        arch in prop_oneof![1 => any::<u32>(), 3 => Just(AUDIT_ARCH)],
        instruction_pointer: u64,
        arguments: [u64; 6],
        action in proptest::sample::select(&ACTIONS[..]),
    ) {
        let call = Call { nr, arch, instruction_pointer, arguments };
        prop_assert_eq!(interpret(&program(action), call), model(action, call));
    }
}

// ---- By the real kernel

/// How a child ends that installs the first filter, or none, and then acts.
fn under_the_filter(filtered: bool, act: impl FnOnce()) -> Ended {
    in_child(common::LIMIT, || {
        if filtered {
            let filter: Vec<_> = program(Action::Notify)
                .iter()
                .map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
                .collect();
            if install_filter(&filter, 0) != 0 {
                return 100;
            }
        }
        act();
        0
    })
}

#[test]
fn the_kernel_takes_the_filter_and_allows_other_calls() {
    // SAFETY: touches no memory.
    let getpid = || _ = unsafe { libc::syscall(libc::SYS_getpid) };
    assert_eq!(under_the_filter(true, getpid), Ended::Status(0));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_call_of_the_i386_abi_is_killed_by_the_kernel() {
    // getpid, by i386's gate and number.
    let act = || unsafe {
        // SAFETY: touches no memory.
        std::arch::asm!("int 0x80", inout("eax") 20 => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    };
    match under_the_filter(false, act) {
        Ended::Status(0) => {}
        ended => return skipped("int 0x80", format!("this kernel has no i386 calls ({ended:?})")),
    }
    assert_eq!(under_the_filter(true, act), Ended::Signal(libc::SIGSYS));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_call_of_the_x32_abi_is_killed_by_the_kernel() {
    for number in [libc::SYS_getpid, libc::SYS_mkdir] {
        // SAFETY: getpid touches no memory; mkdir reads none at the null address. A kernel
        // without x32 answers with ENOSYS, behind the filter.
        let act = || _ = unsafe { libc::syscall(0x4000_0000 | number, 0, 0) };
        assert_eq!(under_the_filter(false, act), Ended::Status(0));
        assert_eq!(under_the_filter(true, act), Ended::Signal(libc::SIGSYS), "{number}");
    }
}

#[test]
fn a_negative_call_number_fails_with_enosys_in_the_kernel() {
    for number in [-1, -2, i64::from(i32::MIN)] {
        // SAFETY: no such call touches memory.
        let act = || {
            let ret = unsafe { libc::syscall(number) };
            let errno = std::io::Error::last_os_error().raw_os_error();
            assert_eq!((ret, errno), (-1, Some(libc::ENOSYS)));
        };
        assert_eq!(under_the_filter(true, act), Ended::Status(0), "{number}");
    }
}

#[test]
fn the_notified_call_without_a_listener_fails_with_enosys() {
    let act = || {
        // SAFETY: reads the path.
        let made = unsafe {
            libc::syscall(
                i64::from(NOTIFIED.number),
                c"/nope/x".as_ptr(),
                c"/nope/x".as_ptr(),
                0o600,
            )
        };
        assert_eq!(
            (made, std::io::Error::last_os_error().raw_os_error()),
            (-1, Some(libc::ENOSYS))
        );
    };
    assert_eq!(under_the_filter(true, act), Ended::Status(0));
}
