package protocoltest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// Vector is one conversation. spec/vectors/README.md describes the form.
type Vector struct {
	// Name is the file's name without ".json"; channels of the vector begin with it.
	Name string `json:"-"`
	// Title and About say in a sentence and a few what the conversation shows.
	Title string `json:"title"`
	About string `json:"about,omitempty"`
	// Document is the place in "Whole conversations" of PROTOCOL.md, from 1; 0: not there.
	Document int `json:"document,omitempty"`
	// Samples are values that the document shows for what the server chooses, by capture name.
	Samples map[string]json.RawMessage `json:"samples,omitempty"`
	// Tokens are made before the conversation and used as "$=token.NAME".
	Tokens map[string]Claims `json:"tokens,omitempty"`
	Steps  []Step            `json:"steps"`
}

// Claims describe a token to make.
type Claims struct {
	Sub      string              `json:"sub,omitempty"`
	Channels map[string][]string `json:"channels,omitempty"`
	// Lifetime is how long from now the token is valid; negative: it has expired. One hour unless given.
	Lifetime Duration `json:"lifetime,omitempty"`
	// Secret signs instead of the key's own.
	Secret string `json:"secret,omitempty"`
}

// Step is one thing that happens. Exactly one of its acts is set.
type Step struct {
	// On names the connection; "a" unless given.
	On string `json:"on,omitempty"`

	Open    *Open             `json:"open,omitempty"`    // connect with options; without it the first act on a connection opens it
	Connect json.RawMessage   `json:"connect,omitempty"` // send a connect frame with these fields and take any welcome
	Client  json.RawMessage   `json:"client,omitempty"`  // send this text, byte for byte but for its "$=…"
	Text    *string           `json:"text,omitempty"`    // send this text, whatever it is
	Binary  []byte            `json:"binary,omitempty"`  // send a binary message, given in base64
	Server  json.RawMessage   `json:"server,omitempty"`  // the next frame matches this pattern
	Servers []json.RawMessage `json:"servers,omitempty"` // the next frames match these, in any order; an array in it keeps its own order
	Close   int               `json:"close,omitempty"`   // the server closes with this code
	Hangup  int               `json:"hangup,omitempty"`  // close with this code and wait for the server's
	Drop    bool              `json:"drop,omitempty"`    // cut the connection without a word
	HTTP    *HTTP             `json:"http,omitempty"`

	// Within is how long the step may take; 5 s unless given.
	Within Duration `json:"within,omitempty"`
}

// Open has the options of a connection.
type Open struct {
	Protocols []string          `json:"protocols,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Query     string            `json:"query,omitempty"`
	Refused   bool              `json:"refused,omitempty"` // the upgrade is refused with a status of 400 to 499
}

// HTTP is a request with the app key and what is expected of the answer.
type HTTP struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body,omitempty"`
	Status int             `json:"status"`
	Answer json.RawMessage `json:"answer,omitempty"` // a pattern
}

// Duration is a time.Duration in JSON as "1m30s".
type Duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	*d = Duration(v)
	return err
}

// Load reads the vectors of a directory, by name.
func Load(dir string) ([]Vector, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no vectors in %s", dir)
	}
	sort.Strings(files)
	vectors := make([]Vector, len(files))
	for i, file := range files {
		if vectors[i], err = load(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return vectors, nil
}

func load(file string) (Vector, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Vector{}, err
	}
	v, err := parse(b)
	v.Name = strings.TrimSuffix(filepath.Base(file), ".json")
	return v, err
}

func parse(b []byte) (Vector, error) {
	var v Vector
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, err
	}
	if v.Title == "" || len(v.Steps) == 0 {
		return v, errors.New("a vector has a title and steps")
	}
	if err := v.spellOut(); err != nil {
		return v, err
	}
	for i := range v.Steps {
		if n := v.Steps[i].acts(); n != 1 {
			return v, fmt.Errorf("step %d has %d acts, not one", i+1, n)
		}
	}
	return v, nil
}

// anyWelcome is what the step "connect" takes.
const anyWelcome = `{"type":"welcome","session":"$string","session_key":"$string","client?":"$string","time":"$int","heartbeat":"$int","backoff":"$any","limits":"$any"}`

// spellOut puts what they stand for in the place of "connect" steps.
func (v *Vector) spellOut() error {
	var steps []Step
	for _, s := range v.Steps {
		if s.Connect == nil {
			steps = append(steps, s)
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(s.Connect, &fields); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		frame := `{"type":"connect"`
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			frame += fmt.Sprintf(",%q:%s", name, fields[name])
		}
		client, server := s, s
		client.Connect, server.Connect = nil, nil
		client.Client, server.Server = json.RawMessage(frame+"}"), json.RawMessage(anyWelcome)
		steps = append(steps, client, server)
	}
	v.Steps = steps
	return nil
}

func (s *Step) acts() int {
	n := 0
	for _, set := range []bool{s.Open != nil, s.Client != nil, s.Text != nil, s.Binary != nil, s.Server != nil, s.Servers != nil,
		s.Close != 0, s.Hangup != 0, s.Drop, s.HTTP != nil} {
		if set {
			n++
		}
	}
	return n
}

func (s *Step) on() string {
	if s.On == "" {
		return "a"
	}
	return s.On
}

func (s *Step) within() time.Duration {
	if s.Within == 0 {
		return 5 * time.Second
	}
	return time.Duration(s.Within)
}

// sequences are the frames of Servers: those of one sequence in order, sequences in any.
func (s *Step) sequences() ([][]json.RawMessage, error) {
	var sequences [][]json.RawMessage
	for _, raw := range s.Servers {
		sequence := []json.RawMessage{raw}
		if bytes.TrimSpace(raw)[0] == '[' {
			if err := json.Unmarshal(raw, &sequence); err != nil {
				return nil, err
			}
		}
		sequences = append(sequences, sequence)
	}
	return sequences, nil
}
