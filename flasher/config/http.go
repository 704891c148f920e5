package config

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/dutflash/dutflash/power"
	"github.com/dutflash/dutflash/power/httpswitch"
)

type requestSettings struct {
	Method string `yaml:"method"`
	URL    string `yaml:"url"`
	Body   string `yaml:"body"`
}

func (r requestSettings) request(header http.Header) httpswitch.Request {
	return httpswitch.Request{Method: r.Method, URL: r.URL, Body: r.Body, Header: header}
}

type stateSettings struct {
	URL string `yaml:"url"`
	On  string `yaml:"on"`
	Off string `yaml:"off"`
}

type meterSettings struct {
	requestSettings
	Volts   string `yaml:"volts"`
	Amperes string `yaml:"amperes"`
	Watts   string `yaml:"watts"`
}

type httpSettings struct {
	switchingFields
	On          requestSettings   `yaml:"on"`
	Off         requestSettings   `yaml:"off"`
	State       stateSettings     `yaml:"state"`
	Read        meterSettings     `yaml:"read"`
	Headers     map[string]string `yaml:"headers"`
	User        string            `yaml:"user"`
	Password    string            `yaml:"password"`
	Digest      bool              `yaml:"digest"`
	CACert      string            `yaml:"cacert"`
	InsecureTLS bool              `yaml:"insecure_tls"`
}

func newHTTP(s httpSettings) (power.Controller, error) {
	header := http.Header{}
	for name, value := range s.Headers {
		header.Set(name, value)
	}
	opts := []httpswitch.Option{httpswitch.WithSwitching(s.switching())}
	if s.State != (stateSettings{}) {
		opts = append(opts, httpswitch.WithState(httpswitch.Request{URL: s.State.URL, Header: header}, s.State.On, s.State.Off))
	}
	if s.Read != (meterSettings{}) {
		opts = append(opts, httpswitch.WithMeter(s.Read.request(header), httpswitch.Values{Volts: s.Read.Volts, Amperes: s.Read.Amperes, Watts: s.Read.Watts}))
	}
	switch {
	case s.User != "" && s.Digest:
		opts = append(opts, httpswitch.WithDigestLogin(s.User, s.Password))
	case s.User != "":
		opts = append(opts, httpswitch.WithLogin(s.User, s.Password))
	case s.Password != "" || s.Digest:
		return nil, errors.New("it has a password or digest, and no user")
	}
	if s.CACert != "" {
		pem, err := os.ReadFile(s.CACert)
		if err != nil {
			return nil, fmt.Errorf("cacert: %w", err)
		}
		opts = append(opts, httpswitch.WithCA(pem))
	}
	if s.InsecureTLS {
		opts = append(opts, httpswitch.WithInsecureTLS())
	}
	return httpswitch.New(s.On.request(header), s.Off.request(header), opts...)
}
