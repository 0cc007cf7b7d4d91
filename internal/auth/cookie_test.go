package auth

import (
	"net/http/httptest"
	"testing"
)

// Whose cookies count: the rule against pages elsewhere that make a browser send them.
func TestCookiesCount(t *testing.T) {
	origins := []string{"https://shop.example", "https://*.shop.example", "http://localhost:*", "*"}
	for name, test := range map[string]struct {
		method, origin, site string
		counts               bool
	}{
		"own page, WebSocket":               {"GET", "https://rt.example", "same-origin", true},
		"own page, old browser":             {"GET", "https://rt.example", "", true},
		"own page, POST":                    {"POST", "https://rt.example", "same-origin", true},
		"own page, GET without Origin":      {"GET", "", "same-origin", true},
		"own page, HEAD without Origin":     {"HEAD", "", "same-origin", true},
		"own name in capitals":              {"GET", "https://RT.example", "same-origin", true},
		"configured page":                   {"POST", "https://shop.example", "same-site", true},
		"configured page of another site":   {"POST", "https://shop.example", "cross-site", true},
		"configured pattern":                {"GET", "https://www.shop.example", "cross-site", true},
		"configured port":                   {"GET", "http://localhost:3000", "", true},
		"foreign page, WebSocket":           {"GET", "https://evil.example", "cross-site", false},
		"foreign page, old browser":         {"GET", "https://evil.example", "", false},
		"foreign page, POST of a form":      {"POST", "https://evil.example", "cross-site", false},
		"foreign page that says otherwise":  {"POST", "https://evil.example", "same-origin", false},
		"own name without TLS":              {"POST", "http://rt.example", "cross-site", false},
		"own name without TLS, old browser": {"POST", "http://rt.example", "", false},
		"another port of the own name":      {"POST", "https://rt.example:8443", "same-site", false},
		"a name that begins like the own":   {"POST", "https://rt.example.evil.example", "cross-site", false},
		"a configured name's beginning":     {"POST", "https://shop.example.evil.example", "cross-site", false},
		"a sandboxed frame":                 {"POST", "null", "cross-site", false},
		"GET by a link or an image":         {"GET", "", "cross-site", false},
		"GET by a sister page":              {"GET", "", "same-site", false},
		"GET by typing":                     {"GET", "", "none", false},
		"GET by an old browser":             {"GET", "", "", false},
		"POST without Origin":               {"POST", "", "same-origin", false},
		"POST without either":               {"POST", "", "", false},
		"an Origin that is not one":         {"POST", "rt.example", "same-origin", false},
		"two Origins":                       {"POST", "two", "same-origin", false},
		"an empty Origin":                   {"POST", "empty", "same-origin", false},
		"an empty Origin, GET, same origin": {"GET", "empty", "same-origin", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, "https://rt.example/v1/sse", nil)
			switch test.origin {
			case "":
			case "two":
				r.Header["Origin"] = []string{"https://rt.example", "https://evil.example"}
			case "empty":
				r.Header["Origin"] = []string{""}
			default:
				r.Header.Set("Origin", test.origin)
			}
			if test.site != "" {
				r.Header.Set("Sec-Fetch-Site", test.site)
			}
			if err := cookiesCount(r, new(Authenticator).peer(r), origins); (err == nil) != test.counts {
				t.Errorf("got %v", err)
			}
		})
	}
}
