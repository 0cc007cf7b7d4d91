package config

import (
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Config is everything that can be configured. Default returns one with the defaults, Load one from a file, the environment and flags.
type Config struct {
	Listen         Addresses `toml:"listen" restart:"yes" doc:"The addresses to listen on, host:port, one or a list of them. Without a host (\":7878\") every address of the machine."`
	ListenProxy    Addresses `toml:"listen_proxy" restart:"yes" doc:"The same, for load balancers that begin every connection with a header of the PROXY protocol (version 1 or 2). Only trusted_proxies may connect there."`
	TrustedProxies []string  `toml:"trusted_proxies" doc:"Networks, such as \"10.0.0.0/8\" or \"127.0.0.1\", whose word counts on who the client is. From anywhere else such headers are not looked at."`
	ProxyHeader    string    `toml:"proxy_header" values:"x-forwarded|forwarded" doc:"What trusted proxies set: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC 7239). The others are not looked at: a proxy lets those of its clients pass."`
	Data           string    `toml:"data" restart:"yes" doc:"The directory for the messages. It is made if it does not exist, and belongs to one server at a time."`
	Drain          Duration  `toml:"drain" min:"0s" max:"10m" doc:"When the server stops, its clients are asked to go at random times within so long, so that they do not all come back at once."`
	DrainDelay     Duration  `toml:"drain_delay" min:"0s" max:"10m" doc:"How long the server says that it is not ready before it drains, and goes on as ever: so long as a load balancer needs to see it and send new clients elsewhere."`
	Origins        []string  `toml:"origins" doc:"Pages that may connect besides the server's own: \"https://example.com\", \"https://*.example.com\", \"http://localhost:*\", or \"*\" for all."`
	Admin          Admin     `toml:"admin" doc:"The listener for those who run the server. Everybody who can reach it can read it, so keep it on loopback or a network of your own."`
	TLS            TLS       `toml:"tls" doc:"Encryption at the addresses of listen. Without a certificate they speak plain HTTP, for a proxy that encrypts."`
	Store          Store     `toml:"store" doc:"How messages reach the disk."`
	Limits         Limits    `toml:"limits" doc:"What may come in, and what one message or client may use. Who is over a limit gets an error that names it."`
	WebSocket      WebSocket `toml:"websocket" doc:"What is special to WebSocket."`
	Wire           Wire      `toml:"wire" doc:"How bytes leave. Only for who measures: the defaults choose what is cheapest."`
	Presence       Presence  `toml:"presence" doc:"Who is in a channel."`
	Log            Log       `toml:"log" doc:"What the server tells about itself, on its standard error."`
	Apps           []App     `toml:"app" doc:"The tenants. Channels of two apps never meet."`

	// Dev is set by Dev only, never by a file: everybody on this machine is trusted, and nobody else.
	Dev bool `toml:"-"`
	// Version is of the program, for its metrics.
	Version string `toml:"-"`
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

// Limits bound what may come in, and what one message or client may use.
type Limits struct {
	Connections        int  `toml:"connections" min:"0" max:"10000000" doc:"Connections at once. Further ones are told to come back later. 0: as many as the limit of open files leaves."`
	Handshakes         int  `toml:"handshakes" min:"1" max:"1000000" doc:"Sessions and TLS connections that begin in a second. Further ones wait for their turn, up to 2 s (clients made for Pusher up to 8 s), and are then told to come back later. With TLS a core manages about 1000."`
	ConnectsPerAddress int  `toml:"connects_per_address" min:"1" max:"1000000" doc:"Connections that begin in a second from one address (of IPv6: from one /64). Those of trusted_proxies count for the client they name; those of this machine are not counted."`
	ConnectsBurst      int  `toml:"connects_burst" min:"1" max:"1000000" doc:"So many may begin at once from one address that was quiet: all the people of an office that share one, after a deploy."`
	MessageBytes       Size `toml:"message_bytes" min:"1" max:"32MiB" doc:"Event, data and headers of one message."`
	ChannelBytes       int  `toml:"channel_bytes" min:"1" max:"1024" doc:"A channel's name, in bytes."`
	Subscriptions      int  `toml:"subscriptions" min:"1" max:"1000000" doc:"Channels that one session may be subscribed to."`
	Members            int  `toml:"members" min:"1" max:"1000000" doc:"Members that one session may stand for, over all channels."`
	MemberBytes        Size `toml:"member_bytes" min:"1" max:"1MiB" doc:"The data of one member."`
}

// WebSocket is about connections by WebSocket.
type WebSocket struct {
	CompressFrom Size `toml:"compress_from" min:"0" max:"32MiB" doc:"What is sent is compressed from so many bytes on, for clients that offer it, as browsers do. It saves two thirds of the bytes of JSON and more, and costs 20 µs of a processor and more for each message and client; 0: nothing that is sent is compressed."`
}

// Wire is about how bytes leave.
type Wire struct {
	IOURing string `toml:"io_uring" restart:"yes" values:"auto|off" doc:"Whether one system call sends to many clients, by io_uring. auto: where the kernel has it and lets this process use it, for messages for which it is cheaper; off: never."`
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

// Default returns the defaults: safe, and with no app.
func Default() Config {
	l := hub.DefaultLimits
	return Config{
		Listen:      Addresses{"127.0.0.1:7878"},
		ProxyHeader: "x-forwarded",
		Data:        "sno-data",
		Drain:       Duration(10 * time.Second),
		Admin:       Admin{Listen: "127.0.0.1:7879"},
		TLS:         TLS{ACME: ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory", Storage: "sno-certificates"}},
		Store:       Store{Sync: "always", Interval: Duration(200 * time.Millisecond)},
		Limits: Limits{
			Handshakes: 5000, ConnectsPerAddress: 100, ConnectsBurst: 2000,
			MessageBytes: Size(l.MessageBytes), ChannelBytes: l.ChannelBytes, Subscriptions: l.Subscriptions,
			Members: l.Members, MemberBytes: Size(l.MemberBytes),
		},
		WebSocket: WebSocket{CompressFrom: 1 << 10},
		Wire:      Wire{IOURing: "auto"},
		Presence:  Presence{Grace: Duration(hub.DefaultGrace)},
		Log:       Log{Format: "auto", Level: "info"},
	}
}
