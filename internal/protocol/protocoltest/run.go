package protocoltest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Env is the server that the vectors are run against: with one app, whose anonymous clients may do everything but admin on every channel
// (as with `sno dev`), and an empty store.
type Env struct {
	URL    string // http://host:port
	App    string // the app's id
	Key    string // id of an app key
	Secret string // its secret
}

// RunVectors plays every vector of a directory over a transport, each as a subtest. skip says which are not to be played, and why.
func RunVectors(t *testing.T, dir string, env Env, transport string, skip func(Vector) string) {
	t.Helper()
	vectors, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			if why := skip(v); why != "" {
				t.Skip(why)
			}
			t.Parallel()
			run(t, v, env, transport)
		})
	}
}

func run(t *testing.T, v Vector, env Env, transport string) {
	t.Helper()
	p := &player{vector: v, env: env, transport: transport, sockets: map[string]link{}, captures: captures{}}
	defer p.dropAll()
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	for i := range v.Steps {
		if err := p.step(&v.Steps[i]); err != nil {
			t.Fatalf("step %d of %q:\n%v\n\nthe conversation until then:\n%s", i+1, v.Title, err, p.log.String())
		}
	}
	if err := p.nothingLeft(); err != nil {
		t.Fatalf("after the last step of %q:\n%v\n\nthe conversation until then:\n%s", v.Title, err, p.log.String())
	}
}

// player plays one vector.
type player struct {
	vector    Vector
	env       Env
	transport string
	sockets   map[string]link
	captures  captures
	log       strings.Builder
}

func (p *player) prepare() error {
	for name, value := range map[string]string{
		"app": p.env.App, "key": p.env.Key + ":" + p.env.Secret,
		"key.basic": base64.StdEncoding.EncodeToString([]byte(p.env.Key + ":" + p.env.Secret)),
	} {
		p.captures[name] = quote(value)
	}
	for name, claims := range p.vector.Tokens {
		token, err := p.env.mint(claims)
		if err != nil {
			return fmt.Errorf("token %q: %w", name, err)
		}
		p.captures["token."+name] = quote(token)
	}
	return nil
}

// mint makes a token as a customer's backend would, without the server's own code.
func (e *Env) mint(c Claims) (string, error) {
	life, secret := time.Duration(c.Lifetime), e.Secret
	if life == 0 {
		life = time.Hour
	}
	if c.Secret != "" {
		secret = c.Secret
	}
	claims := jwt.MapClaims{"exp": time.Now().Add(life).Unix(), "channels": c.Channels}
	if c.Sub != "" {
		claims["sub"] = c.Sub
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	token.Header["kid"] = e.Key
	return token.SignedString([]byte(secret))
}

func quote(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return b
}

func (p *player) step(s *Step) error {
	switch {
	case s.Open != nil:
		return p.open(s)
	case s.HTTP != nil:
		return p.http(s)
	case s.Client != nil, s.Text != nil, s.Binary != nil:
		return p.send(s)
	case s.Server != nil:
		return p.expect(s.on(), [][]json.RawMessage{{s.Server}}, s.within())
	case s.Servers != nil:
		return p.expectAnyOrder(s)
	default:
		return p.end(s)
	}
}

func (p *player) open(s *Step) error {
	p.note("%s opens %+v", s.on(), *s.Open)
	o := *s.Open
	o.Headers = map[string]string{}
	for name, value := range s.Open.Headers {
		o.Headers[name] = inHeader.ReplaceAllStringFunc(value, p.inHeader)
	}
	socket, status, err := dial(wsURL(p.env.URL), &o)
	if s.Open.Refused {
		return p.refused(s, socket, status, err)
	}
	if err != nil {
		return err
	}
	p.sockets[s.on()] = socket
	return nil
}

// inHeader is "$=NAME" in a header's value.
var inHeader = regexp.MustCompile(`\$=[a-z0-9_.]+`)

func (p *player) inHeader(use string) string {
	var text string
	if err := json.Unmarshal(p.captures[strings.TrimPrefix(use, "$=")], &text); err != nil {
		return use
	}
	return text
}

func (p *player) refused(s *Step, socket *socket, status int, err error) error {
	if err == nil {
		p.sockets[s.on()] = socket
		return fmt.Errorf("the upgrade was accepted and should have been refused")
	}
	if status < 400 || status > 499 {
		return fmt.Errorf("refused with status %d, want 400 to 499: %w", status, err)
	}
	return nil
}

// socket is the connection of that name, opened if it is not there.
func (p *player) socket(name string) (link, error) {
	if s := p.sockets[name]; s != nil {
		return s, nil
	}
	s, err := connect(p.env.URL, p.transport)
	if err == nil {
		p.sockets[name] = s
	}
	return s, err
}

func (p *player) send(s *Step) error {
	socket, err := p.socket(s.on())
	if err != nil {
		return err
	}
	send := socket.send
	var body []byte
	switch {
	case s.Binary != nil:
		send, body = socket.(binarySender).sendBinary, s.Binary
	case s.Text != nil:
		body = []byte(*s.Text)
	default:
		if body, err = p.captures.expand(s.Client); err != nil {
			return err
		}
	}
	p.note("%s → %s", s.on(), clip(body))
	if err := send(body); err != nil {
		p.note("%s → could not be sent: %v", s.on(), err) // the server may close while it is being sent to: the next step says what it must say
	}
	return nil
}

// expectAnyOrder wants the frames of several sequences, each in its own order.
func (p *player) expectAnyOrder(s *Step) error {
	sequences, err := s.sequences()
	if err != nil {
		return err
	}
	return p.expect(s.on(), sequences, s.within())
}

func (p *player) expect(name string, sequences [][]json.RawMessage, within time.Duration) error {
	socket, err := p.socket(name)
	if err != nil {
		return err
	}
	for len(sequences) > 0 {
		frame, err := socket.next(within)
		if err != nil {
			return fmt.Errorf("%w\n  want: %s", err, wanted(sequences))
		}
		p.note("%s ← %s", name, clip(frame))
		if sequences, err = p.take(sequences, frame); err != nil {
			return err
		}
	}
	return nil
}

// take removes the pattern that the frame matches from the heads of the sequences.
func (p *player) take(sequences [][]json.RawMessage, frame json.RawMessage) ([][]json.RawMessage, error) {
	var why []string
	for i, sequence := range sequences {
		err := p.captures.match(sequence[0], frame)
		if err != nil {
			why = append(why, err.Error())
			continue
		}
		if sequences[i] = sequence[1:]; len(sequences[i]) == 0 {
			sequences = append(sequences[:i], sequences[i+1:]...)
		}
		return sequences, nil
	}
	return nil, fmt.Errorf("%s\n  want: %s\n  got:  %s", strings.Join(why, "\n"), wanted(sequences), clip(frame))
}

func wanted(sequences [][]json.RawMessage) string {
	var heads []string
	for _, s := range sequences {
		heads = append(heads, string(s[0]))
	}
	return strings.Join(heads, "\n    or: ")
}

func (p *player) end(s *Step) error {
	socket, err := p.socket(s.on())
	if err != nil {
		return err
	}
	delete(p.sockets, s.on())
	defer socket.drop()
	switch {
	case s.Drop:
		p.note("%s cuts the connection", s.on())
		return nil
	case s.Hangup != 0:
		p.note("%s closes with %d", s.on(), s.Hangup)
		return socket.hangup(s.Hangup, s.within())
	}
	code, err := socket.end(s.within())
	p.note("%s ← close %d", s.on(), code)
	if err == nil && code != s.Close {
		err = fmt.Errorf("closed with %d, want %d", code, s.Close)
	}
	return err
}

func (p *player) http(s *Step) error {
	body, err := p.captures.expand(s.HTTP.Body)
	if err != nil {
		return err
	}
	p.note("http → %s %s %s", s.HTTP.Method, s.HTTP.Path, clip(body))
	req, err := http.NewRequest(s.HTTP.Method, p.env.URL+s.HTTP.Path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(p.env.Key, p.env.Secret)
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: s.within(), Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(res.Body)
	if err = firstError(err, res.Body.Close()); err != nil {
		return err
	}
	p.note("http ← %d %s", res.StatusCode, clip(answer))
	return p.checkHTTP(s.HTTP, res.StatusCode, answer)
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (p *player) checkHTTP(h *HTTP, status int, answer []byte) error {
	if status != h.Status {
		return fmt.Errorf("status %d, want %d: %s", status, h.Status, clip(answer))
	}
	if h.Answer == nil {
		return nil
	}
	return p.captures.match(h.Answer, answer)
}

// nothingLeft fails if a connection that still works has frames that no step has taken: the next frame after a ping is its pong.
func (p *player) nothingLeft() error {
	for name, s := range p.sockets {
		if err := s.send([]byte(`{"type":"ping","ref":"the-end"}`)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := p.expect(name, [][]json.RawMessage{{[]byte(`{"type":"pong","ref":"the-end","time":"$int"}`)}}, 5*time.Second); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) dropAll() {
	for _, s := range p.sockets {
		s.drop()
	}
}

func (p *player) note(format string, args ...any) {
	fmt.Fprintf(&p.log, "  "+format+"\n", args...)
}
