package ipmi

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/internal/process"
)

// state asks for the power state by "chassis power status".
func (c *Controller) state(ctx context.Context) (on bool, err error) {
	out, err := c.run(ctx, "status")
	if err != nil {
		return false, fmt.Errorf("asking for the state: %w", err)
	}
	for line := range strings.Lines(out) {
		switch strings.TrimSpace(line) {
		case "Chassis Power is on":
			return true, nil
		case "Chassis Power is off":
			return false, nil
		}
	}
	return false, fmt.Errorf("%w: ipmitool does not say whether the power is on, but: %s", power.ErrRefused, c.tell(out))
}

// control sends Chassis Control: "on", "off", "cycle" or "soft".
func (c *Controller) control(ctx context.Context, what string) error {
	if _, err := c.run(ctx, what); err != nil {
		return fmt.Errorf("chassis power %s: %w", what, err)
	}
	return nil
}

// run runs "ipmitool chassis power WHAT".
func (c *Controller) run(ctx context.Context, what string) (output string, err error) {
	program, err := exec.LookPath("ipmitool")
	if err != nil {
		return "", fmt.Errorf("%w: %w; install ipmitool (apt-get install ipmitool)", power.ErrUnsupported, err)
	}
	// It is the one -v that has it say why a login failed. One attempt of 3 s for
	// each message: repeating is the business of power.Switching, and with
	// ipmitool's defaults it takes a minute until an absent controller is reported.
	args := []string{program, "-v", "-N", "3", "-R", "1", "-I", "lanplus", "-H", c.host, "-p", strconv.Itoa(c.port), "-U", c.config.user, "-E"}
	if c.config.operator {
		args = append(args, "-L", "OPERATOR")
	}
	if c.config.cipherSuite != 0 {
		args = append(args, "-C", strconv.Itoa(c.config.cipherSuite))
	}
	out, err := process.Run(ctx, "", c.environment(), append(args, "chassis", "power", what)...)
	if err == nil {
		return string(out), nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w while it waited for an answer", context.Cause(ctx))
	}
	return "", fmt.Errorf("ipmitool: %w: %s", c.because(err, string(out)), c.tell(string(out)))
}

// environment is ours with the password, which ipmitool -E takes from the first of
// these variables that there is.
func (c *Controller) environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "IPMITOOL_PASSWORD=") || strings.HasPrefix(e, "IPMI_PASSWORD=")
	})
	return append(env, "IPMI_PASSWORD="+c.config.password)
}

// reasons are what ipmitool 1.8.19 says of failures, and which they are. What is not
// here is tried again.
var reasons = []struct {
	says string
	is   error
	hint string
}{
	// Whatever comes after that in the same output is of no session.
	{"no response from", nil, ""},
	{"RAKP 2 HMAC is invalid", power.ErrAuth, "; the password is wrong"},
	{"unauthorized name", power.ErrAuth, "; there is no such user, or not for this privilege level"},
	{"Set Session Privilege Level", power.ErrAuth, "; the user may not be an administrator: try as operator"},
	{"unauthorized role requested", power.ErrAuth, "; the user may not be an administrator: try as operator"},
	{"invalid authentication algorithm", power.ErrRefused, "; it does not have this cipher suite"},
	{"invalid integrity algorithm", power.ErrRefused, "; it does not have this cipher suite"},
	{"invalid confidentiality algorithm", power.ErrRefused, "; it does not have this cipher suite"},
	{"no matching cipher suite", power.ErrRefused, "; it does not have this cipher suite"},
	{"failed: Insufficient privilege level", power.ErrRefused, "; the user may not switch"},
	{"failed: Invalid command", power.ErrRefused, ""},
	{"failed: Command not supported in present state", power.ErrRefused, ""},
	{"failed: Invalid data field in request", power.ErrRefused, ""},
	{"Get Auth Capabilities error", nil, "; nothing answers there: is it the management controller's address, with IPMI over LAN enabled, and does UDP get through?"},
}

// because says what kind of failure it was.
func (c *Controller) because(err error, out string) error {
	for _, r := range reasons {
		if !strings.Contains(out, r.says) {
			continue
		}
		if r.is != nil {
			err = fmt.Errorf("%w: %w", r.is, err)
		}
		return fmt.Errorf("%w%s", err, r.hint)
	}
	return err
}

// chatter is how lines begin that -v has in success as well.
var chatter = []string{
	"Loading IANA PEN Registry", "Running Get ", "Get HPM.x", "Invalid completion code received", "Discovered ",
	"Unable to Get Channel Cipher Suites",
}

// tell makes one line of the output, without the password, which ipmitool has no
// reason to print.
func (c *Controller) tell(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line != "" && !slices.ContainsFunc(chatter, func(s string) bool { return strings.HasPrefix(line, s) }) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "it says nothing"
	}
	text := strings.Join(lines, "; ")
	if c.config.password != "" {
		text = strings.ReplaceAll(text, c.config.password, "(password)")
	}
	return text
}
