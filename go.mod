module github.com/dutflash/dutflash

go 1.26

require (
	github.com/pin/tftp/v3 v3.2.0
	gvisor.dev/gvisor v0.0.0-20240916094835-a174eb65023f
)

require (
	github.com/google/btree v1.1.2 // indirect
	golang.org/x/net v0.43.0 // indirect
	golang.org/x/sys v0.35.0 // indirect
	golang.org/x/time v0.5.0 // indirect
)
