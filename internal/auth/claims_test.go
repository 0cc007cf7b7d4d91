package auth

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

// Whatever two users are called: the one's channels are not the other's, and a pattern that was expanded allows no more than its own user's channel.
func TestPlaceholderNamesOneUser(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringOfN(rapid.RuneFrom([]rune(`ab:*{}user?[\%`)), 0, 8, -1)
		ann, bob := id.Draw(t, "ann"), id.Draw(t, "bob")
		pattern := rapid.SampledFrom([]string{"{user}", "user:{user}", "{user}:inbox", "a:{user}:b", "{{user}}"}).Draw(t, "pattern")
		allow, err := expand([]hub.Allow{{Pattern: pattern, Actions: hub.ActionSubscribe}}, ann)
		if wild := ann == "" || strings.Contains(ann, "*"); (err != nil) != wild {
			t.Fatalf("user %q: got %v, %v", ann, allow, err)
		}
		if err != nil {
			return
		}
		if own := strings.ReplaceAll(pattern, UserPlaceholder, ann); !hub.Match(allow[0].Pattern, own) {
			t.Fatalf("%q does not allow user %q her own channel %q", pattern, ann, own)
		}
		if others := strings.ReplaceAll(pattern, UserPlaceholder, bob); ann != bob && hub.Match(allow[0].Pattern, others) {
			t.Fatalf("%q allows user %q the channel %q of user %q", pattern, ann, others, bob)
		}
	})
}

func TestExpandLeavesTheConfigurationAlone(t *testing.T) {
	configured := []hub.Allow{{Pattern: "user:{user}"}}
	for _, user := range []string{"ann", "bob"} {
		if got, err := expand(configured, user); err != nil || got[0].Pattern != "user:"+user {
			t.Errorf("got %v, %v", got, err)
		}
	}
}
