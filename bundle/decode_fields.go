package bundle

import (
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The functions below each read one level of the manifest.

func (d *decoder) manifest(n *yaml.Node) {
	var spec *yaml.Node
	for _, f := range d.fields(n, "") {
		switch f.key {
		case "apiVersion":
			if s := d.text(f.node, "apiVersion"); s != "" && s != APIVersion {
				d.problem(f.node, "apiVersion", "%q is not supported, only %q", s, APIVersion)
			}
		case "kind":
			if s := d.text(f.node, "kind"); s != "" && s != ManifestKind {
				d.problem(f.node, "kind", "%q is not supported, only %q", s, ManifestKind)
			}
		case "metadata":
			for _, f := range d.fields(f.node, "metadata") {
				if f.key != "name" {
					d.unknown(f, "metadata")
					continue
				}
				d.m.Name = d.text(f.node, "metadata.name")
			}
		case "spec":
			spec = f.node
			d.m.pos["spec"] = place{f.at.Line, f.at.Column}
		default:
			d.unknown(f, "")
		}
	}
	s := &d.m.Spec
	s.Login = Login{Type: DefaultLoginType, LoginPrompt: DefaultLoginPrompt, Prompt: DefaultShellPrompt}
	if spec == nil {
		return
	}
	d.spec(spec, s)
}

func (d *decoder) spec(n *yaml.Node, s *Spec) {
	var shellType, loginType string
	var shellAt *yaml.Node
	for _, f := range d.fields(n, "spec") {
		at := "spec." + f.key
		switch f.key {
		case "manufacturer":
			s.Manufacturer = d.text(f.node, at)
		case "link":
			s.Link = d.text(f.node, at)
		case "bootcmd":
			s.BootCmd = strings.TrimSpace(d.text(f.node, at))
		case "shelltype":
			shellType, shellAt = d.text(f.node, at), f.node
		case "login":
			loginType = d.login(f.node, &s.Login)
		case "default_target":
			s.DefaultTarget = d.text(f.node, at)
		case "targets":
			s.Targets = map[string]string{}
			for _, f := range d.fields(f.node, at) {
				s.Targets[f.key] = d.text(f.node, join(at, f.key))
			}
		case "preflash_commands":
			s.PreflashCommands = d.commands(f.node, at)
		case "kernel":
			s.Kernel = d.artefact(f, at)
		case "initram":
			s.Initram = d.artefact(f, at)
		case "dtb":
			s.DTB = d.dtb(f, at)
		default:
			d.unknown(f, "spec")
		}
	}
	if shellType != "" && loginType != "" && shellType != loginType {
		d.problem(shellAt, "spec.shelltype", "is %q, but spec.login.type is %q", shellType, loginType)
	}
	if loginType == "" {
		loginType = shellType
		if shellAt != nil {
			d.m.pos["spec.login.type"] = place{shellAt.Line, shellAt.Column}
		}
	}
	if loginType != "" {
		s.Login.Type = loginType
	}
}

func (d *decoder) login(n *yaml.Node, l *Login) (loginType string) {
	for _, f := range d.fields(n, "spec.login") {
		at := "spec.login." + f.key
		switch f.key {
		case "type":
			loginType = d.text(f.node, at)
		case "login_prompt":
			if s := d.text(f.node, at); s != "" {
				l.LoginPrompt = s
			}
		case "username":
			l.Username = d.text(f.node, at)
		case "password":
			l.Password = d.text(f.node, at)
		case "prompt":
			if s := d.text(f.node, at); s != "" {
				l.Prompt = s
			}
		default:
			d.unknown(f, "spec.login")
		}
	}
	return loginType
}

func (d *decoder) commands(n *yaml.Node, at string) []string {
	seq := d.resolve(n)
	if isNull(seq) {
		return nil
	}
	if seq.Kind != yaml.SequenceNode {
		d.problem(n, at, "must be a list of commands, is %s", kindName(seq))
		return nil
	}
	var out []string
	for i, c := range seq.Content {
		if s := strings.TrimSpace(d.text(c, at+"["+strconv.Itoa(i)+"]")); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// artefact returns nil for a null: "initram:" without a value means none.
func (d *decoder) artefact(f field, at string) *Artefact {
	d.m.pos[at] = place{f.at.Line, f.at.Column}
	if isNull(d.resolve(f.node)) {
		return nil
	}
	a := &Artefact{}
	for _, f := range d.fields(f.node, at) {
		switch f.key {
		case "file":
			a.File = cleanPath(d.text(f.node, at+".file"))
		case "address":
			a.Address = d.address(f.node, at+".address")
		default:
			d.unknown(f, at)
		}
	}
	return a
}

func (d *decoder) dtb(f field, at string) *DTB {
	d.m.pos[at] = place{f.at.Line, f.at.Column}
	if isNull(d.resolve(f.node)) {
		return nil
	}
	t := &DTB{}
	for _, f := range d.fields(f.node, at) {
		switch f.key {
		case "default":
			t.Default = d.text(f.node, at+".default")
		case "address":
			t.Address = d.address(f.node, at+".address")
		case "variants":
			t.Variants = map[string]Variant{}
			for _, f := range d.fields(f.node, at+".variants") {
				t.Variants[f.key] = d.variant(f, join(at+".variants", f.key))
			}
		default:
			d.unknown(f, at)
		}
	}
	return t
}

// variant reads a mapping, or the older form that is only the file.
func (d *decoder) variant(f field, at string) Variant {
	d.m.pos[at] = place{f.at.Line, f.at.Column}
	if n := d.resolve(f.node); n.Kind == yaml.ScalarNode {
		for _, key := range []string{"bootcmd", "file"} {
			if strings.HasPrefix(n.Value, key+" ") { // was seen in the field
				d.problem(f.node, at, "is the text %q; a colon is missing after %q", clip(n.Value), key)
				return Variant{}
			}
		}
		return Variant{File: cleanPath(d.text(f.node, at+".file"))}
	}
	var v Variant
	for _, f := range d.fields(f.node, at) {
		switch f.key {
		case "file":
			v.File = cleanPath(d.text(f.node, at+".file"))
		case "bootcmd":
			v.BootCmd = strings.TrimSpace(d.text(f.node, at+".bootcmd"))
		default:
			d.unknown(f, at)
		}
	}
	return v
}

// cleanPath drops "./" and the like from a path that stays in the bundle, and
// leaves every other one as it is, for the check to show.
func cleanPath(p string) string {
	if p == "" {
		return ""
	}
	if c := path.Clean(p); checkPath(c) == nil && checkPath(strings.TrimPrefix(p, "./")) == nil {
		return c
	}
	return p
}
