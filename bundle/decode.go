package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxManifestSize bounds the YAML text: real ones have one or two kilobytes.
const maxManifestSize = 1 << 20

// maxYAMLNodes bounds the nodes that are looked at, so that merge keys and
// aliases cannot multiply a small text.
const maxYAMLNodes = 20000

type place struct{ line, column int }

// ParseManifest reads a manifest and checks all of it that can be checked
// without the files. name is the file name, for errors. Unknown and repeated
// fields are returned as warnings. What is wrong is a [*ManifestError] with
// every problem; text of more than 1 MiB matches [ErrTooLarge].
//
// Fields that are absent get their defaults. Both spellings of the shell type
// (spec.shelltype and spec.login.type) and both forms of a DTB variant (a
// mapping, or just the file) are read, as both exist in the field.
func ParseManifest(name string, data []byte) (*Manifest, []Problem, error) {
	if len(data) > maxManifestSize {
		return nil, nil, &ManifestError{Name: name, Problems: []Problem{{
			Message: fmt.Sprintf("%d bytes of YAML, more than the %d that are read", len(data), maxManifestSize), Err: ErrTooLarge}}}
	}
	d := &decoder{m: &Manifest{file: name, pos: map[string]place{}}}
	root, err := parseYAML(data)
	if err != nil {
		d.problems = append(d.problems, *err)
	} else {
		d.m.pos[""] = place{root.Line, root.Column}
		d.manifest(root)
		if r := d.resolve(root); r.Kind == yaml.MappingNode {
			d.more(d.m.check(nil))
		} else if len(d.problems) == 0 {
			d.problem(root, "", "the manifest is empty")
		}
	}
	sortProblems(d.problems)
	sortProblems(d.warnings)
	if len(d.problems) > 0 {
		return nil, d.warnings, &ManifestError{Name: name, Problems: d.problems}
	}
	return d.m, d.warnings, nil
}

// more adds problems of fields about which nothing was said yet.
func (d *decoder) more(ps []Problem) {
	known := map[string]bool{}
	for _, p := range d.problems {
		known[p.Path] = true
	}
	for _, p := range ps {
		if !known[p.Path] {
			d.problems = append(d.problems, p)
		}
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func parseYAML(data []byte) (*yaml.Node, *Problem) {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, &Problem{Line: 1, Column: 1, Message: "the manifest is empty"}
		}
		p := &Problem{Line: 1, Column: 1, Message: err.Error()}
		if m := yamlLine.FindStringSubmatch(p.Message); m != nil {
			p.Message = "no YAML: " + p.Message[len(m[0]):]
			if line, err := strconv.Atoi(m[1]); err == nil {
				p.Line = line
			}
		}
		return nil, p
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, &Problem{Line: max(more.Line, 1), Column: max(more.Column, 1), Message: "more than one YAML document"}
	}
	if len(doc.Content) != 1 {
		return nil, &Problem{Line: 1, Column: 1, Message: "the manifest is empty"}
	}
	return doc.Content[0], nil
}

type decoder struct {
	m        *Manifest
	problems []Problem
	warnings []Problem
	nodes    int
}

type field struct {
	key  string
	at   *yaml.Node
	node *yaml.Node
}

func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (d *decoder) unknown(f field, path string) {
	d.warnings = append(d.warnings, Problem{Line: f.at.Line, Column: f.at.Column, Path: join(path, f.key), Message: "unknown field"})
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// resolve follows aliases. yaml.v3 refuses an alias to something that contains
// it only when it decodes into values, which is not done here.
func (d *decoder) resolve(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && i < 16; i++ {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// fields returns the entries of a mapping, merge keys expanded, the last of
// repeated keys winning as with PyYAML. A null is an empty mapping.
func (d *decoder) fields(n *yaml.Node, path string) []field {
	at := n
	n = d.resolve(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		d.problem(at, path, "must be a mapping, is %s", kindName(n))
		return nil
	}
	var own, merged []field
	index := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if d.nodes++; d.nodes > maxYAMLNodes {
			if d.nodes == maxYAMLNodes+1 {
				d.problem(at, path, "more than %d YAML nodes", maxYAMLNodes)
			}
			return own
		}
		k, v := d.resolve(n.Content[i]), n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			d.problem(k, path, "a key must be text, is %s", kindName(k))
			continue
		}
		if k.ShortTag() == "!!merge" {
			merged = append(merged, d.merge(v, path)...)
			continue
		}
		f := field{k.Value, n.Content[i], v}
		if j, ok := index[k.Value]; ok {
			d.warnings = append(d.warnings, Problem{Line: f.at.Line, Column: f.at.Column, Path: join(path, k.Value),
				Message: fmt.Sprintf("field is given twice, also in line %d; the last one counts", own[j].at.Line)})
			own[j] = f
			continue
		}
		index[k.Value] = len(own)
		own = append(own, f)
	}
	for _, f := range merged {
		if _, ok := index[f.key]; !ok {
			index[f.key] = len(own)
			own = append(own, f)
		}
	}
	return own
}

func (d *decoder) merge(v *yaml.Node, path string) []field {
	target := d.resolve(v)
	if target.Kind != yaml.SequenceNode {
		return d.fields(v, path)
	}
	var all []field
	for _, n := range target.Content {
		if d.nodes > maxYAMLNodes {
			break
		}
		all = append(all, d.fields(n, path)...)
	}
	return all
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return "a single value"
	}
	return "something else"
}

// text reads any scalar as it is written; null is "".
func (d *decoder) text(n *yaml.Node, path string) string {
	d.m.pos[path] = place{n.Line, n.Column}
	v := d.resolve(n)
	if v.Kind != yaml.ScalarNode {
		d.problem(n, path, "must be text, is %s", kindName(v))
		return ""
	}
	if isNull(v) {
		return ""
	}
	return strings.TrimRight(v.Value, "\r\n")
}

// address reads an address. YAML's own idea of a number is not used: U-Boot
// takes every address as hexadecimal, so a decimal number is refused rather
// than guessed at.
func (d *decoder) address(n *yaml.Node, path string) Address {
	s := strings.TrimSpace(d.text(n, path))
	v := d.resolve(n)
	if v.Kind == yaml.ScalarNode && v.ShortTag() == "!!int" && !strings.HasPrefix(s, "0x") {
		d.problem(n, path, "%s is a decimal number; U-Boot takes addresses as hexadecimal, write it as \"0x...\"", s)
		return ""
	}
	return Address(s)
}
