module example.org/pytest-mcast/cores

go 1.18

require (
	golang.org/x/net v0.35.0
	golang.org/x/sys v0.30.0
)
