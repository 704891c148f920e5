module github.com/dutflash/dutflash

go 1.26

require github.com/Netflix/go-expect v0.0.0-20220104043353-73e0943537d2

require github.com/creack/pty v1.1.24
