// Command mcast_go_recv receives one channel of IP multicast on one interface and prints what comes in, a line each.
//
//	mcast_go_recv GROUP PORT --interface NAME [--source ADDRESS]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println(version())
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// version names what decides how multicast works here: Go, and the two packages of golang.org/x/net.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "mcast_go_recv (unknown)"
	}
	text := "mcast_go_recv " + info.GoVersion
	for _, module := range info.Deps {
		if module.Path == "golang.org/x/net" {
			text += " " + module.Path + " " + module.Version
		}
	}
	return text
}

func run(arguments []string) error {
	flags := flag.NewFlagSet("mcast_go_recv GROUP PORT", flag.ContinueOnError)
	name := flags.String("interface", "", "`name` of the interface to receive on")
	from := flags.String("source", "", "only accept datagrams from this `address` (source-specific multicast)")
	if len(arguments) < 2 {
		return errors.New("usage: mcast_go_recv GROUP PORT --interface NAME [--source ADDRESS]")
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
	var source net.IP
	if *from != "" {
		if source = net.ParseIP(*from); source == nil {
			return fmt.Errorf("source %q is not an address", *from)
		}
	}

	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	socket, err := open(stopped, group, int(port), source, ifi)
	if err != nil {
		return err
	}
	go func() {
		<-stopped.Done()
		socket.Close() // makes read return
	}()
	fmt.Println("ready")
	buffer := make([]byte, 65535)
	for {
		datagram, err := socket.read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		// Other groups that share the port and unicast come to the same socket, and with IPv6 other interfaces.
		if !datagram.group.Equal(group) || datagram.index != ifi.Index {
			continue
		}
		// The zone of a link-local address is that of the interface. A net.IP would print ::ffff:1.2.3.4 as 1.2.3.4.
		address, _ := netip.AddrFromSlice(datagram.source.IP)
		if group.To4() != nil {
			address = address.Unmap()
		}
		fmt.Printf("datagram source=%s source_port=%d group=%s port=%d index=%d ttl=%d length=%d payload=%x\n",
			address, datagram.source.Port, datagram.group, port, datagram.index, datagram.ttl,
			datagram.length, buffer[:datagram.length])
	}
}

type datagram struct {
	length     int
	source     *net.UDPAddr
	group      net.IP // destination address
	index, ttl int    // of the interface that it came in on; TTL or hop limit
}

// socket is a joined socket of either family.
type socket struct {
	net.PacketConn
	read func(buffer []byte) (datagram, error)
}

func open(ctx context.Context, group net.IP, port int, source net.IP, ifi *net.Interface) (*socket, error) {
	network := "udp6"
	if group.To4() != nil {
		network = "udp4"
	}
	// Before bind: share the port, and refuse what only other sockets of this machine have joined (ip(7)).
	config := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) error {
		level, option := unix.IPPROTO_IP, unix.IP_MULTICAST_ALL
		if network == "udp6" {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL
		}
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			if failed == nil {
				failed = unix.SetsockoptInt(int(fd), level, option, 0)
			}
		})
		if err == nil {
			err = os.NewSyscallError("setsockopt", failed)
		}
		return err
	}}
	// Go binds to no group: with one it would take the wildcard address as well. Hence the check of the destination.
	conn, err := config.ListenPacket(ctx, network, ":"+strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	s := &socket{PacketConn: conn}
	if network == "udp4" {
		err = s.joinIPv4(group, source, ifi)
	} else {
		err = s.joinIPv6(group, source, ifi)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("join %s on %s: %w", group, ifi.Name, err)
	}
	return s, nil
}

func (s *socket) joinIPv4(group, source net.IP, ifi *net.Interface) error {
	p := ipv4.NewPacketConn(s.PacketConn)
	s.read = func(buffer []byte) (datagram, error) {
		n, control, from, err := p.ReadFrom(buffer)
		if err != nil {
			return datagram{}, err
		}
		return datagram{n, from.(*net.UDPAddr), control.Dst, control.IfIndex, control.TTL}, nil
	}
	if err := p.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface|ipv4.FlagTTL, true); err != nil {
		return err
	}
	if source == nil {
		return p.JoinGroup(ifi, &net.UDPAddr{IP: group})
	}
	return p.JoinSourceSpecificGroup(ifi, &net.UDPAddr{IP: group}, &net.UDPAddr{IP: source})
}

func (s *socket) joinIPv6(group, source net.IP, ifi *net.Interface) error {
	p := ipv6.NewPacketConn(s.PacketConn)
	s.read = func(buffer []byte) (datagram, error) {
		n, control, from, err := p.ReadFrom(buffer)
		if err != nil {
			return datagram{}, err
		}
		return datagram{n, from.(*net.UDPAddr), control.Dst, control.IfIndex, control.HopLimit}, nil
	}
	if err := p.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface|ipv6.FlagHopLimit, true); err != nil {
		return err
	}
	if source == nil {
		return p.JoinGroup(ifi, &net.UDPAddr{IP: group})
	}
	return p.JoinSourceSpecificGroup(ifi, &net.UDPAddr{IP: group}, &net.UDPAddr{IP: source})
}
