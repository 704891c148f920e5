package virtboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// waitRunning asks QEMU over its monitor until it says that the machine runs.
// A QEMU that refuses its arguments, or a disk that is in use, ends instead, and
// with it the connection.
func waitRunning(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := conn.Write([]byte(`{"execute":"qmp_capabilities"}` + "\n" + `{"execute":"query-status"}` + "\n"))
	for in := json.NewDecoder(conn); err == nil; {
		var reply struct {
			Return *struct {
				Running bool   `json:"running"`
				Status  string `json:"status"`
			} `json:"return"`
			Error json.RawMessage `json:"error"`
		}
		if err = in.Decode(&reply); err != nil {
			break
		}
		switch {
		case reply.Error != nil:
			return fmt.Errorf("qemu's monitor: %s", reply.Error)
		case reply.Return == nil || reply.Return.Status == "": // the greeting, an event
		case reply.Return.Running:
			return nil
		default:
			return fmt.Errorf("the machine does not run; its status is %q", reply.Return.Status)
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("wait for qemu to run the machine: %w", ctx.Err())
	}
	return errors.Join(errors.New("qemu ended before it ran the machine"), err)
}
