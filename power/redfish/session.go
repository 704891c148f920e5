package redfish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/internal/web"
)

// session is one command's requests.
type session struct {
	c     *Controller
	token string
	root  root
}

// link is a reference to a resource.
type link struct {
	ID string `json:"@odata.id"`
}

// root is the service root (ServiceRoot schema).
type root struct {
	Systems link
	Links   struct{ Sessions link }
}

// rootPath is the only path that the specification fixes.
const rootPath = "/redfish/v1/"

// logoutTimeout is for the end of a session, after which the service ends it by
// itself.
const logoutTimeout = 5 * time.Second

// with reads the service root, opens a session where one is wanted, and closes it
// after f.
func (c *Controller) with(ctx context.Context, f func(*session) error) (err error) {
	s := &session{c: c}
	// The service root is for everybody (DSP0266, "Resource and operation
	// authentication requirements").
	if err := s.get(ctx, rootPath, &s.root); err != nil {
		return err
	}
	if !c.config.session {
		return f(s)
	}
	where, err := s.login(ctx)
	if err != nil {
		return fmt.Errorf("opening a session: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
		defer cancel()
		if _, closing := s.do(ctx, http.MethodDelete, where, nil); closing != nil && err == nil {
			err = fmt.Errorf("closing the session: %w", closing)
		}
	}()
	return f(s)
}

func (s *session) login(ctx context.Context) (where string, err error) {
	if s.root.Links.Sessions.ID == "" {
		return "", fmt.Errorf("%w: the service has no sessions", power.ErrUnsupported)
	}
	a, err := s.do(ctx, http.MethodPost, s.root.Links.Sessions.ID,
		map[string]string{"UserName": s.c.config.user, "Password": s.c.config.password})
	if err != nil {
		return "", err
	}
	where, s.token = a.Header.Get("Location"), a.Header.Get("X-Auth-Token")
	if where == "" || s.token == "" {
		return "", fmt.Errorf("%w: the service answered without X-Auth-Token or Location", power.ErrRefused)
	}
	if u, err := url.Parse(where); err == nil && u.Host == s.c.base.Host {
		where = u.RequestURI() // an absolute URL is allowed
	}
	return where, nil
}

// get reads a resource.
func (s *session) get(ctx context.Context, path string, into any) error {
	a, err := s.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		return fmt.Errorf("%w: %s is not what Redfish has there: %w", power.ErrRefused, path, err)
	}
	return nil
}

// do sends a request to a path of the service, and to nowhere else: the links come
// from it, and the login goes along.
func (s *session) do(ctx context.Context, method, path string, body any) (web.Answer, error) {
	ref, err := url.Parse(path)
	if err != nil || ref.IsAbs() || ref.Host != "" || !strings.HasPrefix(path, "/") {
		return web.Answer{}, fmt.Errorf("%w: the service's link %q is no path", power.ErrRefused, path)
	}
	header := http.Header{"Accept": {"application/json"}, "Odata-Version": {"4.0"}}
	if s.token != "" {
		header.Set("X-Auth-Token", s.token)
	}
	var data []byte
	if body != nil {
		header.Set("Content-Type", "application/json")
		if data, err = json.Marshal(body); err != nil {
			return web.Answer{}, err
		}
	}
	return s.c.config.web.Do(ctx, method, s.c.base.ResolveReference(ref).String(), header, data)
}

// system is what is used of the ComputerSystem schema.
type system struct {
	link
	ID         string `json:"Id"`
	PowerState string
	Actions    struct {
		Reset struct {
			Target     string   `json:"target"`
			Info       string   `json:"@Redfish.ActionInfo"`
			ResetTypes []string `json:"ResetType@Redfish.AllowableValues"`
		} `json:"#ComputerSystem.Reset"`
	}
	Links struct{ Chassis []link }
}

// system reads the one that is meant.
func (s *session) system(ctx context.Context) (system, error) {
	var list struct{ Members []link }
	if err := s.get(ctx, s.root.Systems.ID, &list); err != nil {
		return system{}, err
	}
	if s.c.config.system == "" && len(list.Members) > 1 {
		return system{}, fmt.Errorf("%w: the service has %d systems and none is named (the first is %s)", power.ErrRefused, len(list.Members), list.Members[0].ID)
	}
	var ids []string
	for _, m := range list.Members {
		var sys system
		if err := s.get(ctx, m.ID, &sys); err != nil {
			return sys, err
		}
		if s.c.config.system == "" || sys.ID == s.c.config.system {
			if sys.PowerState == "" {
				return sys, fmt.Errorf("%w: system %s does not say its PowerState", power.ErrUnsupported, sys.ID)
			}
			return sys, nil
		}
		ids = append(ids, sys.ID)
	}
	return system{}, fmt.Errorf("%w: the service has no system of that Id, but: %s", power.ErrNotFound, strings.Join(ids, ", "))
}

// reset posts the first of the types that the system takes.
func (s *session) reset(ctx context.Context, sys system, types ...string) error {
	action := sys.Actions.Reset
	if action.Target == "" {
		return fmt.Errorf("%w: system %s has no action Reset", power.ErrUnsupported, sys.ID)
	}
	if action.ResetTypes == nil && action.Info != "" {
		var info struct {
			Parameters []struct {
				Name            string
				AllowableValues []string
			}
		}
		if err := s.get(ctx, action.Info, &info); err != nil {
			return err
		}
		for _, p := range info.Parameters {
			if p.Name == "ResetType" {
				action.ResetTypes = p.AllowableValues
			}
		}
	}
	if action.ResetTypes != nil {
		types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return !slices.Contains(action.ResetTypes, t) })
	}
	if len(types) == 0 {
		return fmt.Errorf("%w: system %s takes the reset types %s", power.ErrUnsupported, sys.ID, strings.Join(action.ResetTypes, ", "))
	}
	_, err := s.do(ctx, http.MethodPost, action.Target, map[string]string{"ResetType": types[0]})
	if err != nil {
		return fmt.Errorf("reset type %s: %w", types[0], err)
	}
	return nil
}

// awaitEvery is how often the state is asked for until it is as commanded.
const awaitEvery = 500 * time.Millisecond

// await asks, in the same session, until the PowerState is the wanted one.
func (s *session) await(ctx context.Context, want string) error {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for {
		sys, err := s.system(ctx)
		if err != nil || sys.PowerState == want {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (its PowerState is %s): %w", power.ErrState, sys.PowerState, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// shutDown asks the operating system, and forces the power off where that takes
// longer than wait or the system does not do it.
func (s *session) shutDown(ctx context.Context, sys system, wait time.Duration) error {
	err := s.reset(ctx, sys, "GracefulShutdown")
	switch {
	case err == nil:
		asking, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if err = s.await(asking, stateOff); err == nil || asking.Err() == nil || ctx.Err() != nil {
			return err
		}
	case !errors.Is(err, power.ErrUnsupported) && !errors.Is(err, power.ErrRefused):
		return err
	}
	return s.reset(ctx, sys, "ForceOff")
}

// watts asks the chassis of the system.
func (s *session) watts(ctx context.Context) (float64, error) {
	sys, err := s.system(ctx)
	if err != nil {
		return 0, err
	}
	for _, l := range sys.Links.Chassis {
		var chassis struct{ EnvironmentMetrics, Power link }
		if err := s.get(ctx, l.ID, &chassis); err != nil {
			return 0, err
		}
		if id := chassis.EnvironmentMetrics.ID; id != "" {
			var metrics struct{ PowerWatts struct{ Reading *float64 } }
			if err := s.get(ctx, id, &metrics); err != nil {
				return 0, err
			}
			if r := metrics.PowerWatts.Reading; r != nil {
				return *r, nil
			}
		}
		if id := chassis.Power.ID; id != "" {
			var supply struct {
				PowerControl []struct{ PowerConsumedWatts *float64 }
			}
			if err := s.get(ctx, id, &supply); err != nil {
				return 0, err
			}
			if len(supply.PowerControl) > 0 && supply.PowerControl[0].PowerConsumedWatts != nil {
				return *supply.PowerControl[0].PowerConsumedWatts, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: the chassis of system %s does not measure its power", power.ErrUnsupported, sys.ID)
}
