// Package busybox is a session in a busybox shell (or another POSIX shell) on
// the serial console of a board that has just booted.
//
// A prompt is a hint and never a proof: boot messages contain `# `, kernel
// messages break into lines, a UART drops characters, and commands print
// whatever they like. This package therefore believes only text that it has
// made up itself a moment ago and that the echo of what it typed cannot
// contain.
//
// # How a session is set up
//
// [Shell.Login] waits for a login prompt, a shell prompt, "Please press Enter
// to activate this console", or silence, logs in, and proves the shell by a
// random marker. Then it makes the terminal quiet (stty -echo -opost, which
// also ends busybox's line editing with its cursor queries and redraws), turns
// the kernel's console messages off except for emergencies, and starts a second
// shell, `sh -i`, inside the first. Commands run in the inner shell. The outer
// one keeps the state to go back to, survives an `exit` of a command (with
// `exec sh` as init that would be a kernel panic), and is where
// [Shell.Interactive] takes a person. Where the outer shell has no controlling
// terminal, so that Ctrl-C would reach nobody, the inner one is given one with
// setsid. The inner shell is a job of a third shell that only waits for it, so
// that Ctrl-Z ends it where Ctrl-C does not: because a command has switched
// that off, because an init script has, or because the shell has locked itself
// up over it. A new inner shell takes its place then, without its variables.
//
// # How a command runs
//
// The text of a command is typed as comment lines of at most 160 bytes, read
// by a `read` loop on the board, printed back by the board, and compared.
// Characters that were lost or doubled on the way lead to another try and
// never to another command. Only then a short line runs it, with standard
// input from /dev/null; that line carries a fresh number and running it twice
// does nothing. The exit status is fetched by a question that may be repeated
// at will, so that an answer spoilt by noise is asked for again.
//
// With post-processing off, what commands print ends its lines with LF and
// arrives byte for byte, and what the kernel prints ends its lines with CR LF.
// That is how kernel messages with time stamps are taken out of the output
// without touching what dmesg prints. Whether something on the way turns LF
// into CR LF all the same (the terminal of a board without stty, a pty between
// here and there) is measured, and undone. Without stty kernel messages stay in
// the output; Upload and Download are exact in any case, because they compare
// digests.
//
// Commands run in one and the same shell, so variables, functions and the
// working directory last from one to the next until a command ends that shell.
package busybox
