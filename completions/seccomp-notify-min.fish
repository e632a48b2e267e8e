# Completions of seccomp-notify-min for fish(1), in ~/.config/fish/completions or another folder of $fish_complete_path.

complete -c seccomp-notify-min -f -a '(__fish_complete_directories (commandline -ct))'
complete -c seccomp-notify-min -a /bye -d 'The tracer ends'
complete -c seccomp-notify-min -s b -x -d 'Measure: make each call count times'
complete -c seccomp-notify-min -s c -d 'Let a directory elsewhere through to the kernel'
complete -c seccomp-notify-min -s d -x -d 'Wait before each answer'
complete -c seccomp-notify-min -s f -x -a "e\t'errno, which wins over the notification' t\t'trace, which loses'" -d 'Add a second filter'
complete -c seccomp-notify-min -s h -l help -d 'Print the help'
complete -c seccomp-notify-min -s K -d 'Wait for the tracer, do not kill it'
complete -c seccomp-notify-min -s p -d 'Probe what works here'
complete -c seccomp-notify-min -s V -l version -d 'Print the version'
complete -c seccomp-notify-min -s w -d 'Only a fatal signal interrupts the call'
