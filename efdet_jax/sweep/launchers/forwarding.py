"""A shell script around a command that lets it write a checkpoint when told to end."""


def script(command: str, *, signal: str, before_exit: str) -> str:
    """Returns bash lines that run a command and exit with its code.

    Args:
      command: what to run, quoted for the shell.
      signal: that the shell alone gets; the command gets SIGTERM for it, once, because
        a second one ends the trainer without a checkpoint.
      before_exit: lines that may use `$code`.
    """
    return f"""\
{command} &
command=$!
trap 'kill -TERM "$command"' {signal}
# A trap ends the first wait before the command does; only the last one has its code.
while kill -0 "$command" 2>/dev/null; do wait "$command"; done
wait "$command"
code=$?
{before_exit}exit "$code"
"""
