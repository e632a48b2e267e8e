//! The completions, called as each shell calls them. Their offers for a command line are compared with the options of the
//! usage text and with the directories that exist. A shell that is not installed is reported as skipped.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Ended, Run, usage};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/completions");

/// One of the shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Fish => "fish",
            Self::Zsh => "zsh",
        }
    }

    /// The shell's file of completions.
    fn file(self) -> PathBuf {
        Path::new(FOLDER).join(match self {
            Self::Bash => "seccomp-notify-min.bash",
            Self::Fish => "seccomp-notify-min.fish",
            Self::Zsh => "_seccomp-notify-min",
        })
    }

    /// Whether the shell is installed. If not, reports it as skipped.
    fn is_installed(self) -> bool {
        let is_installed = common::is_installed(self.name());
        if !is_installed {
            common::skipped(&format!("completions of {}", self.name()), "it is not installed");
        }
        is_installed
    }

    /// Runs a script of the shell in `dir`, without the user's settings.
    fn run(self, script: &str, arguments: &[&str], dir: &Path) -> String {
        let mut all: Vec<&str> = match self {
            Self::Bash => vec!["--noprofile", "--norc", "-c", script, "bash"],
            Self::Fish => vec!["--no-config", "-c", script],
            Self::Zsh => vec!["-f", "-c", script, "zsh"],
        };
        all.extend(arguments);
        let run = Run::of(Path::new(self.name()), all).with(|command| {
            // Shells write their histories and caches to the home directory.
            command.current_dir(dir).env("HOME", dir.join(".home"));
            for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "ZDOTDIR"] {
                command.env_remove(name);
            }
        });
        let outcome = run.finish();
        assert_eq!(outcome.ended, Ended::Status(0), "{self:?}: {outcome:#?}");
        assert_eq!(outcome.err(), "", "{self:?}");
        outcome.out()
    }

    /// The shell's offers for the last of `words`, which follow the program's name.
    fn offers(self, words: &[&str], dir: &Path) -> BTreeSet<String> {
        let file = self.file();
        let file = file.to_str().expect("text");
        let offered = match self {
            Self::Bash => {
                let mut arguments = vec![file, "seccomp-notify-min"];
                arguments.extend(words);
                self.run(DRIVE_BASH, &arguments, dir)
            }
            Self::Fish => {
                let line = format!("seccomp-notify-min {}", words.join(" "));
                self.run(DRIVE_FISH, &[file, &line], dir)
            }
            Self::Zsh => {
                let line = format!("seccomp-notify-min {}", words.join(" "));
                let notes = tempfile::tempdir().expect("a directory can be made");
                let notes = notes.path().to_str().expect("text");
                self.run(DRIVE_ZSH, &[FOLDER, &line, notes], dir)
            }
        };
        // A tab separates a word and its explanation. Some shells add a slash to a directory.
        let words = offered.lines().map(|line| line.split('\t').next().unwrap_or_default());
        let words = words.map(|word| word.strip_suffix('/').unwrap_or(word));
        words.filter(|word| !word.is_empty()).map(|word| word.replace("\\ ", " ")).collect()
    }
}

/// Calls the completion function as bash does, with its variables set.
const DRIVE_BASH: &str = r#"
    source "$1" && shift
    complete -p seccomp-notify-min > /dev/null || exit
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _seccomp_notify_min
    printf '%s\n' "${COMPREPLY[@]}"
"#;

/// Calls fish's own command for this.
const DRIVE_FISH: &str = "source $argv[1]; complete -C $argv[2]";

/// Presses the tab key in an inner zsh, and records what the completion function offers. The list of all functions is kept in a file
/// for the next one: making it takes half a second.
const DRIVE_ZSH: &str = r#"
    zmodload zsh/zpty
    zpty inner zsh -f -i
    zpty -w inner "setopt no_beep; PROMPT= fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -d \$HOME/dump
    compadd() {
        local -a offered
        [[ \$* == *-[OAD]\ * ]] || {
            builtin compadd -A offered \"\$@\"; print -rl -- \$offered >> ${(q)3}/offered
        }
        builtin compadd \"\$@\"
    }
    noted() { _main_complete; : >> ${(q)3}/offered; : > ${(q)3}/done }
    zle -C noted complete-word noted; bindkey '^I' noted; : > ${(q)3}/ready"
    until [[ -e $3/ready ]] { sleep 0.02 }
    zpty -w -n inner "$2"$'\t'
    until [[ -e $3/done ]] { sleep 0.02 }
    zpty -d inner
    cat $3/offered
"#;

/// These words as a set.
fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A directory with two directories and a file.
fn temp_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory can be made");
    for directory in ["one of them", "other", ".home"] {
        fs::create_dir(dir.path().join(directory)).expect("a directory can be made");
    }
    fs::write(dir.path().join("of no interest"), "").expect("a file can be written");
    dir
}

/// Checks the offers that all shells must make.
fn completes(shell: Shell) {
    if !shell.is_installed() {
        return;
    }
    let dir = temp_dir();
    let offers = |words: &[&str]| shell.offers(words, dir.path());

    let options = usage::options(&usage::text());
    assert_eq!(offers(&["-"]), options, "all options, and no other");
    assert!(offers(&["-K", "-d", "3", "-"]).contains("-w"), "behind others too");
    assert_eq!(offers(&["--h"]), set(&["--help"]));

    for words in [&["-f", ""][..], &["-K", "-f", ""], &["-Kf", ""], &["other", "-f", ""]] {
        assert_eq!(offers(words), set(&["e", "t"]), "{words:?}");
    }
    for words in [&["-d", ""][..], &["-b", ""], &["-Kd", ""]] {
        assert_eq!(offers(words), set(&[]), "a number: {words:?}");
    }

    for words in [&["o"][..], &["-K", "o"], &["-f", "e", "o"], &["-Kd2", "o"], &["--", "o"]] {
        assert_eq!(offers(words), set(&["one of them", "other"]), "directories: {words:?}");
    }
    assert_eq!(offers(&["--", "-"]), set(&[]), "there are no options any more");
    assert!(offers(&["/by"]).contains("/bye"));
    assert!(offers(&["other", "/by"]).contains("/bye"), "any number of them");
}

#[test]
fn bash_offers_what_the_program_takes() {
    completes(Shell::Bash);
}

#[test]
fn fish_offers_what_the_program_takes() {
    completes(Shell::Fish);
}

#[test]
fn zsh_offers_what_the_program_takes() {
    completes(Shell::Zsh);
}

#[test]
fn each_shell_can_read_its_file() {
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        if shell.is_installed() {
            let outcome = Run::of(
                Path::new(shell.name()),
                [
                    Path::new(if shell == Shell::Fish { "--no-execute" } else { "-n" }),
                    &shell.file(),
                ],
            )
            .finish();
            assert_eq!(outcome.ended, Ended::Status(0), "{outcome:#?}");
            assert_eq!(outcome.err(), "", "{shell:?}");
        }
    }
}
