module github.com/dutflash/dutflash

go 1.26

require (
	github.com/Netflix/go-expect v0.0.0-20220104043353-73e0943537d2
	github.com/creack/pty v1.1.17
	golang.org/x/sys v0.37.0
	golang.org/x/term v0.36.0
)
