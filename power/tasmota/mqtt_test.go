package tasmota_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/dutflash/dutflash/internal/testtool"
	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/tasmota"
)

// broker runs Debian's mosquitto, which knows the user lab with the password pass.
func broker(t *testing.T) (address string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	mosquitto := testtool.Need(t, "mosquitto", "apt-get install mosquitto")
	passwd := testtool.Need(t, "mosquitto_passwd", "apt-get install mosquitto")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	l.Close()
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	if out, err := exec.Command(passwd, "-b", "-c", users, "lab", "pass").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v %s", err, out)
	}
	config := filepath.Join(dir, "conf")
	text := "listener " + port + " 127.0.0.1\nallow_anonymous false\npassword_file " + users + "\nuser " + "root\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(mosquitto, "-c", config)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return address
}

// attach connects the device to the broker, as the firmware does: it subscribes
// to cmnd/TOPIC/#, answers at stat/TOPIC/..., and leaves a last will.
func (d *device) attach(t *testing.T, address, prefix string) {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://"+address).SetClientID("DVES_ABCDEF").SetUsername("lab").SetPassword("pass").
		SetConnectRetry(true).SetConnectRetryInterval(50*time.Millisecond).SetBinaryWill(prefix+"tele/LWT", []byte("Offline"), 1, true)
	c := mqtt.NewClient(o)
	ok := func(token mqtt.Token) {
		t.Helper()
		if !token.WaitTimeout(time.Minute) || token.Error() != nil {
			t.Fatalf("the device at the broker: %v", token.Error())
		}
	}
	ok(c.Connect())
	ok(c.Publish(prefix+"tele/LWT", 1, true, "Online"))
	ok(c.Subscribe(prefix+"cmnd/#", 1, func(c mqtt.Client, m mqtt.Message) {
		name := m.Topic()[strings.LastIndexByte(m.Topic(), '/')+1:]
		result := "RESULT"
		if strings.EqualFold(name, "Status") {
			result = "STATUS" + string(m.Payload())
		}
		c.Publish(prefix+"stat/"+result, 0, false, d.command(strings.TrimSpace(name+" "+string(m.Payload()))))
	}))
	t.Cleanup(func() {
		ok(c.Publish(prefix+"tele/LWT", 1, true, "Offline"))
		c.Disconnect(100)
	})
}

func TestMQTT(t *testing.T) {
	address := broker(t)
	d := fourRelays()
	login := tasmota.WithLogin("lab", "pass")
	full := tasmota.WithFullTopic("lab/%topic%/%prefix%/")
	t.Run("online", func(t *testing.T) {
		d.attach(t, address, "lab/rack7/")
		c, err := tasmota.NewMQTT("mqtt://"+address, "rack7", login, full, tasmota.WithRelay(2))
		if err != nil {
			t.Fatal(err)
		}
		switches(t, c, d, 2)
		reads(t, c, 231, 0.2, 2)
		c, err = tasmota.NewMQTT(address, "rack7", login, full, tasmota.WithRelay(9))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.On(t.Context()); !errors.Is(err, power.ErrRefused) || !strings.Contains(err.Error(), "rack7") {
			t.Errorf("a relay that is not there: %v", err)
		}
	})
	once := power.Switching{Tries: 1}
	for _, tc := range []struct {
		name, topic, password string
		is                    error
		text                  string
	}{
		{"offline", "rack7", "pass", power.ErrNotFound, "device is offline"},
		{"wrong password", "rack7", "wr0ng", power.ErrAuth, "connecting to the broker"},
		{"wrong topic", "rack8", "pass", context.DeadlineExceeded, "is its topic right?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := once
			if tc.is == context.DeadlineExceeded {
				s.Timeout = 500 * time.Millisecond
			}
			c, err := tasmota.NewMQTT(address, tc.topic, tasmota.WithLogin("lab", tc.password), full, tasmota.WithSwitching(s))
			if err != nil {
				t.Fatal(err)
			}
			var typed *power.Error
			err = c.On(t.Context())
			if !errors.Is(err, tc.is) || !errors.As(err, &typed) || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("got %v, want %v with %q", err, tc.is, tc.text)
			}
		})
	}
	c, err := tasmota.NewMQTT("127.0.0.1:1", "x", tasmota.WithSwitching(once))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.On(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("no broker: %v", err)
	}
}

func ExampleNewMQTT() {
	board, err := tasmota.NewMQTT("mqtts://broker.lab", "rack7", tasmota.WithRelay(2), tasmota.WithLogin("lab", os.Getenv("MQTT_PASSWORD")))
	if err != nil {
		fmt.Println(err)
		return
	}
	var _ power.Meter = board
	// board.On(ctx) connects to the broker.
}
