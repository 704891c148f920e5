module github.com/dutflash/dutflash

go 1.26
