package api

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

const (
	// forever is how long a page may be kept that cannot change and whose messages are kept for as long as they are few enough: a year, the most that RFC 9111 caches care for.
	forever = 365 * 24 * time.Hour
	// briefly is for what can change: long enough that a crowd costs one request, short enough that nobody minds.
	briefly = time.Second
)

// shareable reports whether the answer to a request is the same for everybody: the channel is public and nobody has said who he is. Then caches may keep it.
func shareable(r *http.Request, rule *hub.Rule) bool {
	return rule.Public && r.Header.Get("Authorization") == "" && r.Header.Get("Cookie") == ""
}

// full reports whether a page has all that its URL can ever ask for: a position and a number, and so many messages.
func full(q hub.Query, page hub.Page) bool {
	return q.After != nil && page.Reset == "" && (page.More || len(page.Messages) == q.Limit)
}

// keepFor is how long caches may keep a page. What is full does not change, but its messages grow too old: nobody is to see them for longer than the rule says.
func keepFor(rule *hub.Rule, q hub.Query, page hub.Page, now time.Time) time.Duration {
	if !full(q, page) {
		return briefly
	}
	if rule.Keep.Age == 0 {
		return forever
	}
	return max(0, min(forever, time.UnixMilli(page.Messages[0].Time).Add(rule.Keep.Age).Sub(now)))
}

// cacheable says to caches, and to pages of any origin, what they may do with an answer. It takes out what would make each origin's answer another.
func cacheable(h http.Header, age time.Duration, immutable bool) {
	control := fmt.Sprintf("public, max-age=%d", int(age.Seconds()))
	if immutable {
		control += ", immutable"
	}
	h.Set("Cache-Control", control)
	h.Set("Access-Control-Allow-Origin", "*")
	h.Del("Access-Control-Allow-Credentials")
	h.Del("Vary")
}

// writeTagged writes JSON with an entity tag, or 304 to whoever has it already (RFC 9110 §13.1.2).
func writeTagged(w http.ResponseWriter, r *http.Request, body []byte) {
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	w.Header().Set("ETag", tag)
	if hasTag(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writeJSON(w, body)
}

// hasTag reports whether a tag is in the lists. Our tags have no comma, so that one inside of another's does no harm.
func hasTag(lists []string, tag string) bool {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}
