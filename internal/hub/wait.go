package hub

import (
	"context"
	"time"
)

// HistoryWait is History for a cursor (Query.After) behind which there may be nothing yet: it returns as soon as the page has messages or a reset, and an empty page when
// wait is over, the grant has ended, or new sessions are refused because the server drains.
func (h *Hub) HistoryWait(ctx context.Context, g *Grant, name string, q Query, wait time.Duration) (Page, error) {
	ch, rule, err := h.authorise(g, ActionHistory, name)
	if err != nil {
		return Page{}, err
	}
	if !g.Expires.IsZero() {
		wait = min(wait, time.Until(g.Expires))
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	l := h.registry.acquire(ch, rule)
	defer h.registry.release(l)
	for {
		news := l.watch() // before the page is read: what comes in between is on the page, or makes news
		page, err := h.History(ctx, g, name, q)
		if err != nil || len(page.Messages) > 0 || page.Reset != "" {
			return page, err
		}
		select {
		case <-news:
		case <-over.C:
			return page, nil
		case <-h.refusing:
			return page, nil
		case <-ctx.Done():
			return page, ctx.Err()
		}
	}
}

// watch returns what is closed when the channel next has something new.
func (l *live) watch() <-chan struct{} {
	l.subsMu.Lock()
	defer l.subsMu.Unlock()
	if l.news == nil {
		l.news = make(chan struct{})
		l.lanes.Or(1) // lane 0 tells
	}
	return l.news
}

// tell closes what watch has returned. Called with subsMu held.
func (l *live) tell() {
	if l.news == nil {
		return
	}
	close(l.news)
	l.news = nil
	if len(l.groups) == 0 || len(l.groups[0]) == 0 {
		l.lanes.And(^uint64(1))
	}
}

// Rule returns the rule of a channel of the grant's app.
func (h *Hub) Rule(g *Grant, name string) Rule { return *h.rule(Channel{g.App, name}) }
