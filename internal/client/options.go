package client

import (
	"context"
	"log/slog"
	"net/http/httptrace"
	"time"
)

// Options say where to connect and as whom. Only URL is needed where the server allows anonymous clients.
type Options struct {
	// URL of the server: http, https, ws or wss. A path is kept as a prefix of /v1/….
	URL string
	// Key and Secret are an app key: the credential of a backend. With Key, Token is not asked.
	Key, Secret string
	// Token returns a JWT. It is asked before every connect, so an expired token is replaced by itself.
	Token func(ctx context.Context) (string, error)
	// App is for anonymous clients where the server has several apps.
	App string
	// Wait makes Dial go on trying while the server cannot be reached, until its context ends.
	Wait bool
	// Transport is Auto by default: the first that gets through, WebSocket before the others. On a network where that changes the client goes over to
	// another one, and on from where it was.
	Transport Transport
	// Window is how many requests may be unanswered, 256 by default. Publish blocks when there are so many.
	Window int
	// WindowBytes bounds the bytes of unanswered requests, 16 MiB by default; one request is always admitted.
	WindowBytes int
	// BufferBytes is the size of a connection's buffers, 64 KiB by default and more than most need: thousands of clients in one process take less. What is
	// received may be larger; what is sent by WebSocket then goes in fragments.
	BufferBytes int
	// Before is called before each connection is begun, and may wait: thousands of clients in one process do not all begin at once, or do so on purpose.
	// An error keeps the connection from being begun.
	Before func(ctx context.Context) error
	// OnRetry hears of what the client gets over by itself: a connection that could not be made again, a request that was refused for a while and is sent
	// again. It is called from the client's goroutines.
	OnRetry func(err error)
	// Logger hears about lost connections and retries; discarded by default.
	Logger *slog.Logger
	// Trace follows the requests, and the handshakes of WebSockets, on the network. Optional.
	Trace *httptrace.ClientTrace
	// OnState is called from the reading goroutine when the state changes; err is why a connection ended.
	OnState func(s State, err error)

	// 10 s each; tests shorten them.
	heartbeatSlack time.Duration
	patience       time.Duration // for the welcome of a connection
}

// State is what the connection is doing.
type State string

// The states there are. A client that is disconnected does not connect again: Client.Err says why.
const (
	StateConnecting   State = "connecting"
	StateConnected    State = "connected"
	StateDisconnected State = "disconnected"
)

const (
	defaultWindow      = 256
	defaultWindowBytes = 16 << 20
	handshakeTimeout   = 10 * time.Second
	// closeTimeout is how long a closing client waits for the server's close frame.
	closeTimeout = 2 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Window <= 0 {
		o.Window = defaultWindow
	}
	if o.WindowBytes <= 0 {
		o.WindowBytes = defaultWindowBytes
	}
	if o.BufferBytes <= 0 {
		o.BufferBytes = batchBytes
	}
	if o.Before == nil {
		o.Before = func(context.Context) error { return nil }
	}
	if o.OnRetry == nil {
		o.OnRetry = func(error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnState == nil {
		o.OnState = func(State, error) {}
	}
	if o.heartbeatSlack <= 0 {
		o.heartbeatSlack = 10 * time.Second
	}
	if o.patience <= 0 {
		o.patience = handshakeTimeout
	}
	return o
}
