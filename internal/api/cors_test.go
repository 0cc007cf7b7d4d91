package api

import (
	"strings"
	"testing"
)

const friend, stranger = "Origin: https://app.example", "Origin: https://evil.example"

func TestCORS(t *testing.T) {
	s := open(t)
	for name, test := range map[string]struct {
		path, origin, credential string
		allow                    string
	}{
		"allowed":                     {chat, friend, "", "https://app.example"},
		"allowed, with an error":      {"/v1/channels/%01/messages", friend, "", "https://app.example"},
		"allowed, without credential": {"/v1/channels", friend, "Authorization: ", "https://app.example"},
		"nothing there":               {"/v1/nothing", friend, "", "https://app.example"},
		"another":                     {chat, stranger, "", ""},
		"no browser":                  {chat, "Origin: ", "", ""},
		"what everybody may read":     {"/v1/channels/public:a/messages", stranger, "Authorization: ", "*"},
		"the same with a credential":  {"/v1/channels/public:a/messages", stranger, "", ""},
	} {
		headers := []string{test.origin}
		if test.credential != "" {
			headers = append(headers, test.credential)
		}
		h := s.do("GET", test.path, "", headers...).Header
		own := strings.HasPrefix(test.allow, "https:")
		if h.Get("Access-Control-Allow-Origin") != test.allow || (h.Get("Access-Control-Allow-Credentials") == "true") != own ||
			(h.Get("Access-Control-Expose-Headers") == "ETag, Retry-After") != own && test.allow != "*" || (h.Get("Vary") == "Origin") == (test.allow == "*") {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestPreflight(t *testing.T) {
	s := open(t)
	ask := "Access-Control-Request-Method: POST"
	a := s.do("OPTIONS", chat, "", friend, ask, "Access-Control-Request-Headers: authorization,content-type", "Authorization: ")
	h := a.Header
	if a.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Allow-Methods") != "GET, HEAD, POST" ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization, Content-Type") || h.Get("Access-Control-Max-Age") != "7200" {
		t.Errorf("allowed: %d %v", a.StatusCode, h)
	}
	wantProblem(t, s.do("OPTIONS", chat, "", stranger, ask, "Authorization: "), 403, 4002, "evil.example")
	if a := s.do("OPTIONS", chat, ""); a.StatusCode != 204 || a.Header.Get("Allow") != "GET, HEAD, POST, OPTIONS" || a.Header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("no preflight: %d %v", a.StatusCode, a.Header)
	}
}
