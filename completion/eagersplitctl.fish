# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of eagersplitctl for fish.

# The VMs of the daemon that the command line is for.
function __eagersplitctl_vms
    set -l socket
    set -l words (commandline -opc)
    for i in (seq (count $words))
        switch $words[$i]
            case '--socket=*'
                set socket $words[$i]
            case --socket
                set -q words[(math $i + 1)]; and set socket --socket=$words[(math $i + 1)]
        end
    end
    eagersplitctl $socket list --no-legend 2>/dev/null | string match -rg '^(\S+) '
end

# The arguments before the cursor that are no options: the command, and what it has.
function __eagersplitctl_arguments
    set -l takes --socket --timeout --color --name --deadline --tlbi-rate --stagger --memory --block-size --batch --rate --format --output --limit
    set -l words (commandline -opc)
    set -l skip
    for word in $words[2..]
        if set -q skip[1]
            set skip
        else if contains -- $word $takes
            set skip yes
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

function __eagersplitctl_needs_command
    test (count (__eagersplitctl_arguments)) = 0
end

# Whether the command is one of these.
function __eagersplitctl_is
    set -l arguments (__eagersplitctl_arguments)
    set -q arguments[1]; and contains -- $arguments[1] $argv
end

# Whether the command has so many arguments.
function __eagersplitctl_has
    test (count (__eagersplitctl_arguments)) = (math $argv[1] + 1)
end

complete -c eagersplitctl -f
complete -c eagersplitctl -l socket -r -F -d 'Talk to the eagersplitd that listens there'
complete -c eagersplitctl -l timeout -x -d 'Wait so long for an answer'
complete -c eagersplitctl -l no-legend -d 'Print tables without their titles'
complete -c eagersplitctl -l color -x -a 'auto always never' -d 'When there are colours'
complete -c eagersplitctl -s j -l json -d 'Print JSON, an object a line'
complete -c eagersplitctl -s h -l help -d 'Show the help'
complete -c eagersplitctl -l version -d 'Show the version'

complete -c eagersplitctl -n __eagersplitctl_needs_command -a host -d 'Show the host and its TLBI budget'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a list -d 'List the VMs'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a status -d 'Show a VM and its memslots'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a register -d 'Register the VM of a process'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a unregister -d 'Forget a VM'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a migration -d 'Report the state of a migration'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a prepare -d 'Split VMs ahead of their migrations'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a cancel -d 'Call migrations off'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a complete -d 'Say that VMs have left'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a top -d 'Show the busiest VMs as it goes'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a watch -d 'Show changes as they happen'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a history -d 'Show how migrations went'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a reload -d 'Have the configuration read again'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a plan -d 'Estimate the cost of splitting'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a doctor -d 'Check the host'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a metrics -d 'Show figures for monitoring'
complete -c eagersplitctl -n __eagersplitctl_needs_command -a help -d 'Show the help'

complete -c eagersplitctl -n '__eagersplitctl_is plan prepare cancel complete' -a '(__eagersplitctl_vms)'
complete -c eagersplitctl -n '__eagersplitctl_is status unregister migration watch history; and __eagersplitctl_has 0' -a '(__eagersplitctl_vms)'
complete -c eagersplitctl -n '__eagersplitctl_is migration; and __eagersplitctl_has 1' -a 'scheduled active completed cancelled failed'
complete -c eagersplitctl -n '__eagersplitctl_is register; and __eagersplitctl_has 0' -a '(pgrep "^(qemu|cloud-hyp|firecracker|crosvm)")'

complete -c eagersplitctl -n '__eagersplitctl_is register' -l name -x -d 'What to call the VM'
complete -c eagersplitctl -n '__eagersplitctl_is prepare migration plan' -l deadline -x -d 'When it must be split'
complete -c eagersplitctl -n '__eagersplitctl_is prepare migration' -l tlbi-rate -x -d 'TLBIs a second for the VM'
complete -c eagersplitctl -n '__eagersplitctl_is prepare migration cancel' -l wait -d 'Wait until it is done'
complete -c eagersplitctl -n '__eagersplitctl_is prepare plan' -l all -d 'All VMs that are not migrating yet'
complete -c eagersplitctl -n '__eagersplitctl_is prepare' -l stagger -x -d 'How much later each deadline is'
complete -c eagersplitctl -n '__eagersplitctl_is history' -l limit -x -d 'The last N migrations'
complete -c eagersplitctl -n '__eagersplitctl_is plan' -l memory -x -d 'The memory of the guest'
complete -c eagersplitctl -n '__eagersplitctl_is plan' -l block-size -x -a '2M 1G 32M 512M' -d 'What maps it'
complete -c eagersplitctl -n '__eagersplitctl_is plan' -l batch -x -d 'Blocks that a TLBI splits'
complete -c eagersplitctl -n '__eagersplitctl_is plan' -l rate -x -d 'TLBIs a second'
complete -c eagersplitctl -n '__eagersplitctl_is plan' -l bbm -d 'On CPUs with FEAT_BBM level 2'
complete -c eagersplitctl -n '__eagersplitctl_is metrics' -l format -x -a 'openmetrics prometheus' -d 'How they are written'
complete -c eagersplitctl -n '__eagersplitctl_is metrics' -l output -r -F -d 'Write to a file'
