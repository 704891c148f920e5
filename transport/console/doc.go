// Package console is an expect engine over a board's serial console, or over
// any other io.ReadWriteCloser that carries a session: wait for a prompt, type
// a command, read what came before the next prompt, and know what happened when
// it does not come.
//
// A [Console] takes over a port. One goroutine drains it from [New] to
// [Console.Close], so that a UART never overruns while nobody waits. What
// nobody has matched yet stays in a bounded window.
//
// # Waiting
//
// [Console.Expect] takes the matchers of github.com/Netflix/go-expect
// (expect.String, expect.Regexp, expect.All, expect.EOF, Then), so that who
// knows go-expect or pexpect is at home. The reading is different from that of
// go-expect's own Console:
//
//   - The deadline is the context's, for the whole call: a chatty board cannot
//     prolong it.
//   - A timeout consumes nothing; what follows a match is kept.
//   - The [Match] says which matcher it was, what stood before it, and the
//     submatches.
//   - The cost is linear in the output, and the result does not depend on how
//     the output arrives in pieces. A regexp runs as an automaton that goes on
//     with every byte and never back.
//   - Bytes that are not UTF-8 stay as they are.
//   - It needs no pseudo-terminal, so it works on Windows, and over in-memory
//     pipes under testing/synctest.
//
// A prompt in the output proves little: boot logs contain "# " and "=> ". The
// packages uboot and busybox build on this one and find the end of a command by
// a marker that was made for it.
//
// # The record
//
// [WithTranscript] gets every byte as it comes. [Console.Tail], errors, log
// lines and the transcript show *** in place of secrets ([WithSecret],
// [Console.AddSecret]), also where reads cut a secret in two. What Expect
// returns is unaltered.
//
// [Clean] and [Cleaner] turn console output into text: no ANSI sequences, and
// carriage returns and backspaces carried out.
//
// # Persons and programs
//
// [Console.Attach] connects a person's terminal to the session until he types
// Ctrl-]. [Console.AttachPTY] gives a pseudo-terminal to another program, and
// [Console.ExpectConsole] a go-expect Console. The session and its other users
// go on meanwhile.
package console
