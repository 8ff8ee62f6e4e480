module go_headers

go 1.24
