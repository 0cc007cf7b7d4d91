package config

import (
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Config is everything that can be configured. Default returns one with the defaults, Load one from a file, the environment and flags.
type Config struct {
	Listen     Addresses `toml:"listen" restart:"yes" doc:"The addresses to listen on, host:port, one or a list of them. Without a host (\":7878\") every address of the machine."`
	Data       string    `toml:"data" restart:"yes" doc:"The directory for the messages. It is made if it does not exist, and belongs to one server at a time."`
	Drain      Duration  `toml:"drain" min:"0s" max:"10m" doc:"When the server stops, its clients are asked to go at random times within so long, so that they do not all come back at once."`
	DrainDelay Duration  `toml:"drain_delay" min:"0s" max:"10m" doc:"How long the server says that it is not ready before it drains, and goes on as ever: so long as a load balancer needs to see it and send new clients elsewhere."`
	Origins    []string  `toml:"origins" doc:"Pages that may connect besides the server's own: \"https://example.com\", \"https://*.example.com\", \"http://localhost:*\", or \"*\" for all."`
	Admin      Admin     `toml:"admin" doc:"The listener for those who run the server. Everybody who can reach it can read it, so keep it on loopback or a network of your own."`
	Store      Store     `toml:"store" doc:"How messages reach the disk."`
	Limits     Limits    `toml:"limits" doc:"What one message or client may use."`
	Presence   Presence  `toml:"presence" doc:"Who is in a channel."`
	Log        Log       `toml:"log" doc:"What the server tells about itself, on its standard error."`
	Apps       []App     `toml:"app" doc:"The tenants. Channels of two apps never meet."`

	// Dev is set by Dev only, never by a file: everybody on this machine is trusted, and nobody else.
	Dev bool `toml:"-"`
}

// Admin is about the listener for those who run the server.
type Admin struct {
	Listen string `toml:"listen" restart:"yes" doc:"Its address, host:port, for /metrics, /healthz and /readyz; empty: there is none."`
}

// Store is how messages reach the disk.
type Store struct {
	Sync     string   `toml:"sync" restart:"yes" values:"always|interval|never" doc:"When a message counts as stored. always: after an fsync, so that a power failure loses nothing; interval: the disk is synced every store.interval, and a power failure loses that much; never: when the operating system pleases. A kill -9 loses nothing with any of them."`
	Interval Duration `toml:"interval" restart:"yes" min:"1ms" max:"1m" doc:"How often sync = \"interval\" syncs."`
}

// Limits bound what one message or client may use.
type Limits struct {
	MessageBytes  Size `toml:"message_bytes" min:"1" max:"32MiB" doc:"Event, data and headers of one message."`
	ChannelBytes  int  `toml:"channel_bytes" min:"1" max:"1024" doc:"A channel's name, in bytes."`
	Subscriptions int  `toml:"subscriptions" min:"1" max:"1000000" doc:"Channels that one session may be subscribed to."`
	Members       int  `toml:"members" min:"1" max:"1000000" doc:"Members that one session may stand for, over all channels."`
	MemberBytes   Size `toml:"member_bytes" min:"1" max:"1MiB" doc:"The data of one member."`
}

// Log is about the server's log.
type Log struct {
	Format string `toml:"format" restart:"yes" values:"auto|json|text" doc:"How a line is written. auto: as text on a terminal, as JSON anywhere else."`
	Level  string `toml:"level" values:"debug|info|warn|error" doc:"The least grave lines that are written."`
}

// Presence is about who is in a channel.
type Presence struct {
	Grace Duration `toml:"grace" restart:"yes" min:"1ms" max:"10m" doc:"How long a member stays whose connection was lost without a goodbye. Who is back by then has not left."`
}

// App is a tenant.
type App struct {
	ID        string              `toml:"id" doc:"1 to 64 letters, digits, '_', '-' and '.'."`
	Keys      []Key               `toml:"key" doc:"Keys of backends, which also sign the tokens of clients. Several at once let you change them without a pause."`
	Rules     []Rule              `toml:"rule" doc:"How channels behave. The first rule that matches a channel counts; where none does, the defaults of a rule do."`
	Anonymous map[string][]string `toml:"anonymous" doc:"What clients without a credential may do: channel pattern = actions. The actions are subscribe, publish, presence, history, admin."`
}

// Key is an app key.
type Key struct {
	ID     string `toml:"id" doc:"1 to 64 letters, digits, '_', '-' and '.', unique over all apps. It stands in tokens (kid) and is no secret."`
	Secret Secret `toml:"secret" doc:"32 to 1024 characters, for example from: openssl rand -base64 32"`
	// SecretFile is read by Load, into Secret.
	SecretFile string `toml:"secret_file" doc:"A file with the secret, instead of secret: for secrets that an orchestrator mounts."`
}

// Rule says how the channels that match a pattern behave. A nil or empty field has the value of hub.DefaultRule; a bound of 0 is no bound.
type Rule struct {
	Pattern  string    `toml:"pattern" doc:"Which channels: '*' stands for any run of characters, everything else for itself."`
	Store    string    `toml:"store" values:"disk|memory|none" doc:"Where messages are kept. memory: until the server stops; none: nowhere, who is not there misses them."`
	Messages *int      `toml:"messages" min:"0" max:"1000000000" doc:"Keep at most so many messages; 0: no bound."`
	Age      *Duration `toml:"age" min:"0s" max:"36500d" doc:"Keep messages for so long, such as \"24h\" or \"30d\"; 0: no bound."`
	Bytes    *Size     `toml:"bytes" min:"0" max:"1024TiB" doc:"Keep at most so much, such as \"64MiB\", but always the newest message; 0: no bound."`
	Deliver  string    `toml:"deliver" values:"all|latest" doc:"latest: a client that is behind jumps to the newest message, for tickers."`
	Presence *bool     `toml:"presence" doc:"Whether members can enter the channel and be seen there."`
	Publish  string    `toml:"publish" values:"grant|server|subscribers" doc:"Who may publish. grant: whose token allows it; server: app keys only, whatever a token says; subscribers: also who may subscribe."`
	Public   bool      `toml:"public" doc:"Anybody may subscribe and read the history, without a credential."`
}

// Default returns the defaults: safe, and with no app.
func Default() Config {
	l := hub.DefaultLimits
	return Config{
		Listen: Addresses{"127.0.0.1:7878"},
		Data:   "sno-data",
		Drain:  Duration(10 * time.Second),
		Admin:  Admin{Listen: "127.0.0.1:7879"},
		Store:  Store{Sync: "always", Interval: Duration(200 * time.Millisecond)},
		Limits: Limits{
			MessageBytes: Size(l.MessageBytes), ChannelBytes: l.ChannelBytes, Subscriptions: l.Subscriptions,
			Members: l.Members, MemberBytes: Size(l.MemberBytes),
		},
		Presence: Presence{Grace: Duration(hub.DefaultGrace)},
		Log:      Log{Format: "auto", Level: "info"},
	}
}
