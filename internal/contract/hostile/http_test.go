package hostile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// post sends a request and returns its problem, if it is one.
func (x *target) post(t *testing.T, path, body string) answer {
	t.Helper()
	return x.ask(t, http.MethodPost, path, nil, body)
}

func (x *target) ask(t *testing.T, method, path string, header http.Header, body string) (a answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, x.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode < 300 {
		return a // a stream does not end
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &a); err != nil || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %.60s: %s is no problem: %.200s", method, path, res.Status, text)
	}
	return a
}

func oversizedBodies(t *testing.T, x *target) {
	const frameBytes = 1<<20*4/3 + 64<<10
	large := `{"type":"connect"}` + strings.Repeat(" ", frameBytes)
	for _, path := range []string{"/v1/stream", "/v1/sse", "/v1/poll", "/v1/send"} {
		refused(t, path, x.post(t, path, large), 4302, fmt.Sprintf("more than %d bytes", frameBytes))
		if got := x.post(t, path, strings.Repeat("[", 100_000)); !strings.Contains(got.Detail, "not a JSON frame") {
			t.Errorf("%s, brackets: %+v", path, got)
		}
	}
	backend := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("dev:"+secret))}}
	for _, test := range []struct {
		body string
		code int
		text string
	}{
		{`{"data":"` + strings.Repeat("x", 1<<20) + `"}`, 4302, "limits.message_bytes"},
		{strings.Repeat(" ", 34<<20), 4302, "the body has more than"},
		{`{"data":` + strings.Repeat("[", 100_000), 4300, "not JSON"},
		{strings.Repeat("[", 100_000), 4300, ""},
		{`{"data":1,"data":2}`, 4300, "data"},
		{"{\"data\":\"\xff\"}", 4300, "not UTF-8"},
		{`[` + strings.Repeat(`{},`, 10_000) + `{}]`, 4308, "at most"},
	} {
		refused(t, test.body, x.ask(t, http.MethodPost, "/v1/channels/big/messages", backend, test.body), test.code, test.text)
	}
	refused(t, "a long path", x.ask(t, http.MethodPost, "/v1/channels/"+strings.Repeat("n", 5000)+"/messages", backend, `{}`), 4300, "1 to 1024 bytes")
	refused(t, "an encoded NUL", x.ask(t, http.MethodPost, "/v1/channels/%00/messages", backend, `{}`), 4300, "control characters")
}

func badTokens(t *testing.T, x *target) {
	claims := jwt.MapClaims{"sub": "mallory", "exp": time.Now().Add(time.Hour).Unix(), "allow": map[string][]string{"*": {"subscribe", "publish"}}}
	sign := func(m jwt.SigningMethod, key any, kid string, c jwt.MapClaims) string {
		token := jwt.NewWithClaims(m, c)
		token.Header["kid"] = kid
		s, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	stale := jwt.MapClaims{"sub": "mallory", "exp": time.Now().Add(-time.Hour).Unix()}
	for name, test := range map[string]struct {
		token string
		code  int
	}{
		"no token":            {"nonsense", 4001},
		"three dots":          {"...", 4001},
		"unsigned":            {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "dev", claims), 4001},
		"another algorithm":   {sign(jwt.SigningMethodHS512, []byte(secret), "dev", claims), 4001},
		"another key":         {sign(jwt.SigningMethodHS256, []byte("not the secret of anybody at all, really"), "dev", claims), 4001},
		"an empty key":        {sign(jwt.SigningMethodHS256, []byte{}, "dev", claims), 4001},
		"an unknown key id":   {sign(jwt.SigningMethodHS256, []byte(secret), "../../dev", claims), 4001},
		"stale":               {sign(jwt.SigningMethodHS256, []byte(secret), "dev", stale), 4201},
		"stale and forged":    {sign(jwt.SigningMethodHS256, []byte("x"), "dev", stale), 4001},
		"huge":                {sign(jwt.SigningMethodHS256, []byte(secret), "dev", jwt.MapClaims{"sub": strings.Repeat("m", 500_000), "exp": claims["exp"]}), 4001},
		"deep":                {"eyJhbGciOiJIUzI1NiIsImtpZCI6ImRldiJ9." + base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(`[`, 100_000))) + ".AAAA", 4001},
		"a header as a bomb":  {base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(`{"a":`, 50_000))) + "." + "e30.AAAA", 4001},
		"signed, cut in half": {sign(jwt.SigningMethodHS256, []byte(secret), "dev", claims)[:60], 4001},
	} {
		frame := `{"type":"connect","token":"` + test.token + `"}`
		ws := x.dial(t)
		send(t, ws, frame)
		closed(t, name, ws, test.code, "")
		refused(t, name, x.post(t, "/v1/stream", frame), test.code, "")
		refused(t, name, x.post(t, "/v1/poll", frame), test.code, "")
		if len(test.token) < 2000 {
			refused(t, name+" in the URL", x.ask(t, http.MethodGet, "/v1/sse?channel=x&token="+url.QueryEscape(test.token), nil, ""), test.code, "")
			refused(t, name+" at the API", x.ask(t, http.MethodGet, "/v1/channels/x/messages", http.Header{"Authorization": {"Bearer " + test.token}}, ""), test.code, "")
		}
	}
	for _, key := range []string{"dev", "dev:", "dev:wrong", ":" + secret, "nobody:" + secret, strings.Repeat("k", 100_000) + ":x"} {
		ws := x.dial(t)
		send(t, ws, `{"type":"connect","key":"`+key+`"}`)
		closed(t, key, ws, 4001, "")
	}
}

func badCursors(t *testing.T, x *target) {
	garbage := []string{"x", "!!!!", "AAAA", strings.Repeat("A", 20_000), "é", base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 300))}
	for _, cursor := range garbage {
		frames := `{"type":"connect"}{"type":"subscribe","ref":1,"cursor":"` + cursor + `"}`
		for _, path := range []string{"/v1/poll?cursor=", "/v1/sse?channel=x&cursor=", "/v1/stream?cursor="} {
			refused(t, path+cursor, x.ask(t, http.MethodGet, path+url.QueryEscape(cursor), nil, ""), 4300, "cursor")
		}
		refused(t, "Last-Event-ID "+cursor, x.ask(t, http.MethodGet, "/v1/sse?channel=x", http.Header{"Last-Event-Id": {cursor}}, ""), 4300, "cursor")
		ws := x.connect(t)
		send(t, ws, strings.TrimPrefix(frames, `{"type":"connect"}`))
		refused(t, cursor, next(t, ws), 4300, "cursor")
		ws.Close()
	}
	s := x.openStream(t)
	defer s.body.Close()
	for what, frame := range map[string]string{
		"a guessed key":           `{"type":"connect","session":"` + s.session + `","session_key":"AAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		"the key of nobody":       `{"type":"connect","session":"AAAAAAAAAAAAAAAAAAAAAAAAAA","session_key":"` + s.key + `"}`,
		"the session as its key":  `{"type":"connect","session":"` + s.session + `","session_key":"` + s.session + `"}`,
		"the key, longer by one":  `{"type":"connect","session":"` + s.session + `","session_key":"` + s.key + `A"}`,
		"the key without its end": `{"type":"connect","session":"` + s.session + `","session_key":"` + s.key[:25] + `"}`,
	} {
		refused(t, what, x.post(t, "/v1/send", frame+`{"type":"publish","channel":"x"}`), 4309, "no such session")
	}
	for what, key := range map[string]string{"short": "A", "long": strings.Repeat("A", 200)} {
		ws := x.dial(t)
		send(t, ws, `{"type":"connect","session_key":"`+key+`"}`)
		closed(t, what, ws, 4000, "session_key has")
	}
}

// openedStream is a stream that nobody reads any further than its welcome.
type openedStream struct {
	session, key string
	body         io.ReadCloser
}

func (s *openedStream) frame(frames string) string {
	return `{"type":"connect","session":"` + s.session + `","session_key":"` + s.key + `"}` + frames
}

func (x *target) openStream(t *testing.T) *openedStream {
	t.Helper()
	res, err := httpClient.Post(x.url+"/v1/stream", "text/plain", strings.NewReader(`{"type":"connect"}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	var welcome answer
	d := json.NewDecoder(res.Body)
	if err := d.Decode(&welcome); err != nil || welcome.Session == "" {
		t.Fatalf("%v: %+v", err, welcome)
	}
	return &openedStream{session: welcome.Session, key: welcome.SessionKey, body: res.Body}
}

func manyPosts(t *testing.T, x *target) {
	s := x.openStream(t)
	var done, busy atomic.Int32
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			switch a := x.post(t, "/v1/send", s.frame(strings.Repeat(`{"type":"ping","ref":1}`, 20))); a.Code {
			case 0:
				done.Add(1)
			case 4312:
				busy.Add(1)
			default:
				t.Errorf("%+v", a)
			}
		})
	}
	all.Wait()
	if done.Load() == 0 || done.Load()+busy.Load() != 1000 {
		t.Errorf("%d were carried out, %d refused", done.Load(), busy.Load())
	}
	go func() { _, _ = io.Copy(io.Discard, s.body) }()
	eventually(t, "the session goes on", func() bool { return x.post(t, "/v1/send", s.frame(`{"type":"ping","ref":2}`)).Code == 0 })
	s.body.Close()
}

// rawRequest sends bytes and returns what comes back until the end or for a moment.
func (x *target) rawRequest(t *testing.T, request string) string {
	t.Helper()
	nc, err := net.Dial("tcp", x.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, request); err != nil {
		t.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(time.Second))
	b, _ := io.ReadAll(nc) // what has come until the deadline
	return string(b)
}

// smuggling sends requests whose end a proxy and the server could see at different places.
func smuggling(t *testing.T, x *target) {
	const head = "POST /v1/poll?wait=0 HTTP/1.1\r\nHost: localhost\r\n"
	const hidden = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for name, test := range map[string]struct{ request, status string }{
		"two lengths":             {head + "Content-Length: 18\r\nContent-Length: 0\r\n\r\n" + `{"type":"connect"}` + hidden, "400"},
		"a length with a sign":    {head + "Content-Length: +18\r\n\r\n" + `{"type":"connect"}` + hidden, "400"},
		"an unknown encoding":     {head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, "501"},
		"two encodings":           {head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden, "501"},
		"a blank before a colon":  {head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden, "400"},
		"a bad chunk":             {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + hidden, "400"},
		"a chunk with a sign":     {head + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n" + hidden, "400"},
		"no host":                 {"POST /v1/poll HTTP/1.1\r\n\r\n" + hidden, "400"},
		"two hosts":               {"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + hidden, "400"},
		"a header without a name": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n" + hidden, "400"},
		"a line break in a value": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n" + hidden, "400"},
		"a huge header":           {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n" + hidden, "431"},
	} {
		got := x.rawRequest(t, test.request)
		if !strings.HasPrefix(got, "HTTP/1.1 "+test.status) || strings.Count(got, "HTTP/1.1") != 1 {
			t.Errorf("%s: %.300q", name, got)
		}
	}
	// RFC 9112 §6.3: the encoding counts, not the length; the length would end within what is chunked.
	both := x.rawRequest(t, head+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n12\r\n"+`{"type":"connect"}`+"\r\n0\r\n\r\n")
	if !strings.HasPrefix(both, "HTTP/1.1 200") || strings.Count(both, "HTTP/1.1") != 1 {
		t.Errorf("a length and an encoding: %.300q", both)
	}
}
