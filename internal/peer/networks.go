package peer

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Networks are the proxies that are believed.
type Networks []netip.Prefix

// ParseNetworks reads networks such as "10.0.0.0/8" and single addresses.
func ParseNetworks(all []string) (Networks, error) {
	networks := make(Networks, 0, len(all))
	for _, s := range all {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err := netip.ParseAddr(s)
			if err != nil || a.Zone() != "" {
				return nil, fmt.Errorf("%q is no network: it must be like \"10.0.0.0/8\", \"192.0.2.7\" or \"fd00::/8\"", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// Contain says whether an address is of one of the networks.
func (n Networks) Contain(a netip.Addr) bool {
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(a) })
}

// addressOf is the address of a socket's other end; the zero Addr if it has none.
func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
