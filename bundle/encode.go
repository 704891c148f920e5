package bundle

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// The structures below are the manifest as it is written.

type wireManifest struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   wireMeta `yaml:"metadata"`
	Spec       wireSpec `yaml:"spec"`
}

type wireMeta struct {
	Name string `yaml:"name"`
}

type wireSpec struct {
	Manufacturer string `yaml:"manufacturer"`
	Link         string `yaml:"link"`
	BootCmd      string `yaml:"bootcmd"`
	// Jumpstarter reads shelltype and passes over login.type, so that the
	// first spelling is the one to write.
	ShellType     string            `yaml:"shelltype"`
	Login         wireLogin         `yaml:"login"`
	DefaultTarget string            `yaml:"default_target"`
	Targets       map[string]string `yaml:"targets"`
	Preflash      []string          `yaml:"preflash_commands,omitempty"`
	Kernel        *wireArtefact     `yaml:"kernel,omitempty"`
	Initram       *wireArtefact     `yaml:"initram,omitempty"`
	DTB           *wireDTB          `yaml:"dtb,omitempty"`
}

type wireLogin struct {
	LoginPrompt string `yaml:"login_prompt"`
	Username    string `yaml:"username,omitempty"`
	Password    string `yaml:"password,omitempty"`
	Prompt      string `yaml:"prompt"`
}

type wireArtefact struct {
	File    string `yaml:"file"`
	Address string `yaml:"address"`
}

type wireDTB struct {
	Default  string                 `yaml:"default"`
	Address  string                 `yaml:"address"`
	Variants map[string]wireVariant `yaml:"variants"`
}

type wireVariant struct {
	File    string `yaml:"file,omitempty"`
	BootCmd string `yaml:"bootcmd,omitempty"`
}

// Encode returns the manifest as YAML that [ParseManifest] and Jumpstarter
// read back as an equivalent one. Comments of the original are not kept. It
// includes login.password.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	s := &m.Spec
	w := wireManifest{APIVersion: APIVersion, Kind: ManifestKind, Metadata: wireMeta{m.Name}, Spec: wireSpec{
		Manufacturer: s.Manufacturer, Link: s.Link, BootCmd: s.BootCmd, ShellType: s.Login.Type,
		Login:         wireLogin{s.Login.LoginPrompt, s.Login.Username, s.Login.Password, s.Login.Prompt},
		DefaultTarget: s.DefaultTarget, Targets: s.Targets, Preflash: s.PreflashCommands,
	}}
	if a := s.Kernel; a != nil {
		w.Spec.Kernel = &wireArtefact{a.File, string(a.Address)}
	}
	if a := s.Initram; a != nil {
		w.Spec.Initram = &wireArtefact{a.File, string(a.Address)}
	}
	if d := s.DTB; d != nil {
		w.Spec.DTB = &wireDTB{d.Default, string(d.Address), map[string]wireVariant{}}
		for name, v := range d.Variants {
			w.Spec.DTB.Variants[name] = wireVariant{v.File, v.BootCmd}
		}
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(w); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
