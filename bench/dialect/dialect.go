//go:build linux

package dialect

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/snoserver/sno/bench/crowd"
)

// Options are what dialects need to know.
type Options struct {
	Host        string // for the request
	Path        string // with its query
	PublishPath string // of the publisher, where it is not the one that is usual for the protocol
	Token       string // what lets subscribers in, where the protocol has such a thing
	Key         string // what lets the publisher in: "id:secret"
}

// websocket is what all protocols over WebSocket have; publishing is the publisher's path unless the options name one.
func (o Options) websocket(publishing string) websocket {
	w := websocket{host: o.Host, path: o.Path, publishPath: o.PublishPath}
	if w.publishPath == "" {
		w.publishPath = publishing
	}
	return w
}

var dialects = map[string]func(Options) crowd.Dialect{
	"centrifugo": newCentrifugo,
	"mqtt":       newMQTT,
	"plain":      newPlain,
	"sno":        newSno,
	"socket.io":  newSocketIO,
	"sse":        newSSE,
	"topics":     newTopics,
}

// Names are those of all dialects.
func Names() []string { return slices.Sorted(maps.Keys(dialects)) }

// New makes a dialect by its name, for the server at a URL: ws, wss, mqtt.
func New(name, address string, o Options) (d crowd.Dialect, hostport string, secure bool, err error) {
	build, known := dialects[name]
	if !known {
		return nil, "", false, fmt.Errorf("there is no protocol %q; there are %s", name, strings.Join(Names(), ", "))
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", false, err
	}
	ports := map[string]string{"ws": "80", "wss": "443", "mqtt": "1883"}
	port, known := ports[u.Scheme]
	if !known {
		return nil, "", false, fmt.Errorf("%s: the URL begins with ws://, wss:// or mqtt://", address)
	}
	o.Host, o.Path = u.Host, u.RequestURI()
	if u.Port() == "" {
		u.Host += ":" + port
	}
	return build(o), u.Host, u.Scheme == "wss", nil
}
