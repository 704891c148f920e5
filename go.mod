module github.com/dutflash/dutflash

go 1.26

require github.com/pin/tftp/v3 v3.2.0

require (
	golang.org/x/net v0.43.0 // indirect
	golang.org/x/sys v0.35.0 // indirect
)
