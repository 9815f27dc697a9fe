// Command mcast_go_send sends datagrams to one channel of IP multicast and exits.
//
//	mcast_go_send GROUP PORT --interface NAME [--source ADDRESS] [--ttl N] [--count N] [--payload TEXT]
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("mcast_go_send", runtime.Version())
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	flags := flag.NewFlagSet("mcast_go_send GROUP PORT", flag.ContinueOnError)
	name := flags.String("interface", "", "`name` of the interface to send from")
	source := flags.String("source", "", "`address` to send from, one of the interface (default: what the system takes)")
	ttl := flags.Int("ttl", 1, "TTL or hop limit")
	count := flags.Int("count", 1, "number of datagrams")
	payload := flags.String("payload", "hello", "`text` to send")
	if len(arguments) < 2 {
		return errors.New("usage: mcast_go_send GROUP PORT --interface NAME [OPTIONS]")
	}
	if err := flags.Parse(arguments[2:]); err != nil {
		return err
	}

	group := net.ParseIP(arguments[0])
	if group == nil || !group.IsMulticast() {
		return fmt.Errorf("%q is not a multicast group", arguments[0])
	}
	port, err := strconv.ParseUint(arguments[1], 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("%q is not a port", arguments[1])
	}
	ifi, err := net.InterfaceByName(*name)
	if err != nil {
		return fmt.Errorf("interface %q: %w", *name, err)
	}

	local := &net.UDPAddr{} // any address and port
	if *source != "" {
		if local.IP = net.ParseIP(*source); local.IP == nil {
			return fmt.Errorf("source %q is not an address", *source)
		}
		if local.IP.IsLinkLocalUnicast() && local.IP.To4() == nil {
			local.Zone = ifi.Name
		}
	}
	network := "udp6"
	if group.To4() != nil {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, local)
	if err != nil {
		return err
	}
	defer conn.Close()
	if network == "udp4" {
		p := ipv4.NewPacketConn(conn)
		if err = p.SetMulticastInterface(ifi); err == nil {
			err = p.SetMulticastTTL(*ttl)
		}
	} else {
		p := ipv6.NewPacketConn(conn)
		if err = p.SetMulticastInterface(ifi); err == nil {
			err = p.SetMulticastHopLimit(*ttl)
		}
	}
	if err != nil {
		return err
	}
	destination := &net.UDPAddr{IP: group, Port: int(port)}
	for i := 0; i < *count; i++ {
		if _, err := conn.WriteTo([]byte(*payload), destination); err != nil {
			return err
		}
	}
	return nil
}
