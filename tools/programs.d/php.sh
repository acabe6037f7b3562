# what: sessions of files, a phar
# packages: php-cli
# run
php -r 'file_put_contents("a", "x"); rename("a", "b"); echo filesize("b"), "\n"; foreach (scandir(".") as $n) if ($n[0] != ".") echo $n, "\n"; unlink("b");'
php -d phar.readonly=0 -r '$p = new Phar("t.phar"); $p["a.php"] = "<?php echo 42, PHP_EOL;"; unset($p); include "phar://t.phar/a.php";'; rm -f t.phar
