package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/snoserver/sno/"

// root is the project's directory, seen from this package.
const root = "../.."

// room is a part of the project and what it may import of ours. A package belongs to the room with the longest name that its path begins with.
type room struct {
	name   string
	may    []string
	reason string
	std    bool // nothing but the standard library besides
}

var rooms = []room{
	{"internal/hub", nil, "the core: everybody uses its words, it knows nobody", true},
	{"internal/wire", []string{"internal/wire"}, "transports move bytes and know no meaning", false},
	{"internal/store", []string{"internal/hub", "internal/store"}, "a log implements hub.Log and passes storetest", false},
	{"internal/auth", []string{"internal/hub", "internal/hook"}, "credentials become hub.Grants, some by asking the app's backend", false},
	{"internal/hook", nil, "questions to a backend, whatever they are about", true},
	{"internal/nearest", nil, "names that were most likely meant", true},
	{"internal/config", []string{"internal/hub", "internal/auth", "internal/nearest", "internal/outbox", "internal/peer"}, "a configuration becomes hub's, auth's, outbox's and peer's words", false},
	{"internal/peer", nil, "who is at the other end, whatever is said there", true},
	{"internal/admission", []string{"internal/hub"}, "who may come in, and when; refusals are hub's errors", false},
	{"internal/certificate", nil, "certificates from files or an authority; it knows TLS and nothing of messages", false},
	{"internal/protocol/messagejson", []string{"internal/hub"}, "a message as JSON, the same for every surface that shows one", false},
	{"internal/protocol/native", []string{"internal/hub", "internal/wire", "internal/nearest", "internal/protocol/messagejson"}, "a protocol maps bytes to hub's words", false},
	{"internal/protocol/pusher", []string{"internal/hub", "internal/wire", "internal/body", "internal/problem", "internal/protocol/messagejson"}, "a protocol maps bytes to hub's words; this one has an HTTP API, too", false},
	{"internal/protocol/protocoltest", []string{"internal/hub", "internal/auth"}, "the suite of all protocols talks to a server from outside", false},
	{"internal/problem", []string{"internal/hub", "internal/protocol/messagejson"}, "hub's errors over HTTP, the same for every surface", false},
	{"internal/body", []string{"internal/hub"}, "the bodies of requests, bounded the same for every surface", false},
	{"internal/api", []string{"internal/hub", "internal/auth", "internal/body", "internal/nearest", "internal/outbox", "internal/problem", "internal/protocol/messagejson"}, "HTTP requests become hub calls", false},
	{"internal/outbox", []string{"internal/hub"}, "events of the hub's channels go out; it keeps them in any log, and knows no protocol", false},
	{"internal/telemetry", []string{"internal/hub", "internal/outbox", "internal/wire", "internal/store/local"}, "counts what passes by and looks at what is there; nobody it counts knows it", false},
	{"internal/dashboard", nil, "a page and its files; it talks to the server over the network as any client does", false},
	{"internal/client", []string{"internal/hub"}, "a client of the native protocol speaks in the words of the hub, and knows the wire from its document", false},
	{"internal/latency", nil, "durations, whoever measures them", true},
	{"internal/verify", []string{"internal/client", "internal/hub", "internal/latency"}, "checks any server from outside", false},
	{"internal/load", []string{"internal/client", "internal/hub", "internal/latency", "internal/verify"}, "puts load on any server from outside, and lets verify judge what came of it", false},
	{"internal/contract", nil, "tests only", false},
	{"internal/server", []string{"internal"}, "the only room that knows all the others", false},
	{"internal/arch", []string{"internal/hub"}, "looks at files, and at the table of codes", false},
	{"cmd/sno", []string{"internal/config", "internal/server", "internal/hub", "internal/auth", "internal/client", "internal/latency", "internal/load", "internal/verify"}, "flags become a config, a server or a client; auth mints tokens", false},
	{"bench", []string{"internal"}, "measures anything", false},
}

func TestArrows(t *testing.T) {
	used := map[string]bool{}
	for path, imports := range imports(t) {
		r := roomOf(path)
		if r == nil {
			t.Errorf("%s is in no room: add a row with its reason", path)
			continue
		}
		used[r.name] = true
		for _, i := range imports {
			ours, isOurs := strings.CutPrefix(i, module)
			switch {
			case isOurs && !within(ours, r.name) && !slices.ContainsFunc(r.may, func(m string) bool { return within(ours, m) }):
				t.Errorf("%s imports %s, but: %s", path, ours, r.reason)
			case r.std && !isOurs && strings.Contains(strings.Split(i, "/")[0], "."):
				t.Errorf("%s imports %s, but it may use the standard library only", path, i)
			}
		}
	}
	for _, r := range rooms {
		if !used[r.name] && r.name != "bench" {
			t.Errorf("room %s does not exist any more: take the row out", r.name)
		}
	}
}

func roomOf(path string) *room {
	var best *room
	for i := range rooms {
		if within(path, rooms[i].name) && (best == nil || len(rooms[i].name) > len(best.name)) {
			best = &rooms[i]
		}
	}
	return best
}

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

// imports returns what the non-test files of each package import. Tests may use the real parts of any room.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), "_") || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		all[rel] = append(all[rel], "")
		for _, i := range file.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			all[rel] = append(all[rel], name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
