# Completions of seccomp-notify-min for fish(1), in ~/.config/fish/completions or another folder of $fish_complete_path.

complete -c seccomp-notify-min -f -a '(__fish_complete_directories (commandline -ct))'
complete -c seccomp-notify-min -a /bye -d 'The tracer ends'
complete -c seccomp-notify-min -s b -x -d 'Make each call count times and measure'
complete -c seccomp-notify-min -s c -d 'Let paths outside /tmp through'
complete -c seccomp-notify-min -s d -x -d 'The tracer waits before it looks into the target'
complete -c seccomp-notify-min -s f -x -a "e\t'errno, which takes precedence' t\t'trace, over which the notification takes precedence'" -d 'Second filter for mkdir'
complete -c seccomp-notify-min -s h -l help -d 'How to use it'
complete -c seccomp-notify-min -s K -d 'Wait for the tracer instead of killing it'
complete -c seccomp-notify-min -s p -d 'Try what this system offers a supervisor'
complete -c seccomp-notify-min -s V -l version -d 'Which version it is'
complete -c seccomp-notify-min -s w -d 'Once received, only a fatal signal ends a call'
